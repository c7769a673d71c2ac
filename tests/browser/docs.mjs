// Drives /docs in chromium as wide as a phone, a laptop and a desk, light and dark: reading, logging in, sending, and what goes wrong.
//
//   make test-browser
//
// One line a check; the last line is the totals. BASE_URL, USER_EMAIL and PASSWORD come from tests/tools/with-server.sh. The server's access
// tokens end after three seconds, so that the page trades its refresh token again and again. SCREENSHOTS names a folder for pictures.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const tools = createRequire(new URL("../../target/tools/node/package.json", import.meta.url));
const python = new URL("../../target/tools/python/bin/python", import.meta.url).pathname;
const { chromium } = tools("playwright-core");
const axe = await readFile(tools.resolve("axe-core/axe.min.js"), "utf8");
const { BASE_URL, USER_EMAIL, PASSWORD, SCREENSHOTS } = process.env;
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });

let passed = 0;
let failed = 0;
async function check(name, work) {
  try {
    await work();
    passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}

/** A page of its own, with what its scripts said and what it asked the server. */
async function visit({ width, colorScheme, hash = "" }) {
  const context = await browser.newContext({ viewport: { width, height: 850 }, colorScheme, permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.said = [];
  page.asked = [];
  // Chromium itself notes every answer above 399 in the console.
  page.on("console", (message) => { if (!message.text().startsWith("Failed to load resource")) page.said.push(message.text()); });
  page.on("pageerror", (error) => page.said.push(error.message));
  page.on("request", (request) => page.asked.push(request));
  await page.goto(`${BASE_URL}/docs${hash}`);
  await page.locator(".op").first().waitFor();
  return page;
}

const post = async (path, body, token) => {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  return (await fetch(`${BASE_URL}${path}`, { method: "POST", headers, body: JSON.stringify(body) })).json();
};
const tokenOf = async (email) => (await post("/api/auth/login", { email, password: PASSWORD })).data.token;

/** Nothing at all. The page's policy lets no script in, so axe comes through the debugger. */
async function assertAccessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  assert.deepEqual(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`), []);
}

async function open(page, id) {
  await page.evaluate((hash) => { location.hash = hash; }, `op-${id}`);
  const card = page.locator(`#op-${id}`);
  await card.locator("form").waitFor();
  return card;
}

/** Presses the button and reads the answer, which takes the place of an earlier one. */
async function send(card) {
  await card.locator(".answer").evaluate((answer) => answer.replaceChildren());
  await card.getByRole("button", { name: "Send" }).click();
  await card.locator(".answer .status").waitFor();
  return { status: await card.locator(".answer .status").innerText(), body: await card.locator(".answer pre").first().innerText() };
}

/** The access token that the page sent last, and the end of its life. */
const tokenOnItsWay = (page) => page.asked.findLast((request) => request.headers().authorization).headers().authorization;
async function untilEnded(token) {
  const isGood = async () => (await fetch(`${BASE_URL}/api/auth/me`, { headers: { Authorization: token } })).ok;
  while (await isGood()) await new Promise((resume) => { setTimeout(resume, 50); });
}

async function logIn(page, email = USER_EMAIL, password = PASSWORD) {
  await page.getByRole("button", { name: "Log in", exact: true }).first().click();
  await page.locator("#login").getByLabel("E-mail").fill(email);
  await page.locator("#login").getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
}
const loggedIn = (page) => page.getByRole("button", { name: "Log out" }).waitFor();

/** Whether all of it is on the screen, below the bar. */
const isInView = (locator) => locator.evaluate((element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return top >= document.querySelector("header").getBoundingClientRect().bottom - 1 && bottom <= innerHeight + 1;
});

/** The code of a secret in base32, so many steps from now (RFC 6238). */
function totp(secret, steps) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac("sha1", key).update(step).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

async function reading({ width, colorScheme, at, picture }) {
  const page = await visit({ width, colorScheme });
  await check(`the page has a card for every operation and every model ${at}`, async () => {
    const document = await (await fetch(`${BASE_URL}/openapi.json`)).json();
    const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods)).length;
    assert.equal(await page.locator(".op").count(), operations);
    assert.equal(await page.locator(".model").count(), Object.keys(document.components.schemas).length);
    await picture(page, "top");
  });
  await check(`nothing is wider than the screen, and the bar is as wide as the content ${at}`, async () => {
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    const sides = (selector) => page.locator(selector).evaluate((element) => [element.getBoundingClientRect().left, element.getBoundingClientRect().right]);
    assert.deepEqual(await sides("header > div"), await sides(".frame"));
  });
  await check(`the menu leads to a card and follows the scrolling ${at}`, async () => {
    if (width < 800) {
      assert.equal(await page.locator("#menu").isVisible(), false);
      await page.getByRole("button", { name: "Menu" }).click();
    }
    await page.locator("#menu").getByRole("link", { name: "Save an edited patient" }).click();
    await page.locator("#op-updatePatient form").waitFor();
    assert.ok(await isInView(page.locator("#op-updatePatient > summary")));
    if (width < 800) assert.equal(await page.locator("#menu").isVisible(), false, "the menu makes way");
    const marked = page.locator("#menu a[aria-current]");
    await marked.and(page.locator('[href="#op-updatePatient"]')).waitFor({ state: "attached" });
    await page.locator("#op-listDoctors").evaluate((card) => card.scrollIntoView());
    await marked.and(page.locator('[href="#op-listDoctors"]')).waitFor({ state: "attached" });
    assert.equal(await marked.count(), 1);
    if (width > 800) assert.ok(await isInView(marked), "the menu scrolls along");
  });
  await check(`a model has its fields, an example, and links to the models in it ${at}`, async () => {
    const card = await open(page, "createPatient");
    await card.getByText("201 created").click();
    await card.getByRole("link", { name: "Patient", exact: true }).first().click();
    const model = page.locator("#model-Patient");
    await model.getByText("date_of_birth", { exact: true }).waitFor();
    await model.getByText('"Zoë Müller"').waitFor();
    assert.ok(await isInView(model.locator("> summary")));
    await picture(page, "model");
  });
  await check(`the filter leaves what it names, and says so if that is nothing ${at}`, async () => {
    await page.locator("body").press("/");
    await page.keyboard.type("audit trail");
    assert.equal(await page.locator(".op:visible").count(), 1);
    await page.keyboard.press("Enter");
    await page.locator("#op-listAuditEntries form").waitFor();
    await page.locator("body").press("/");
    await page.keyboard.type(" xyz");
    await page.getByText("Nothing matches.").waitFor();
    assert.equal(await page.locator("#news").innerText(), "Nothing matches");
    await page.getByRole("button", { name: "Clear the filter" }).click();
    assert.equal(await page.locator(".op:visible").count(), await page.locator(".op").count());
    await page.keyboard.press("Escape");
  });
  await check(`the colours are those of the system until someone chooses, and then stay ${at}`, async () => {
    const isDark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor === "rgb(19, 24, 26)");
    assert.equal(await isDark(), colorScheme === "dark");
    await page.getByRole("button", { name: "Colours: auto" }).click();
    assert.equal(await isDark(), false);
    await page.getByRole("button", { name: "Colours: light" }).click();
    assert.equal(await isDark(), true);
    await page.reload();
    await page.getByRole("button", { name: "Colours: dark" }).waitFor();
    assert.equal(await isDark(), true);
    await page.getByRole("button", { name: "Colours: dark" }).click();
    assert.equal(await isDark(), colorScheme === "dark");
  });
  await check(`a card opens, and its request is sent, by keyboard ${at}`, async () => {
    await page.locator("#op-login > summary").focus();
    await page.keyboard.press("Enter");
    const body = page.locator("#op-login").getByLabel("Body, JSON");
    await body.focus();
    await page.keyboard.press("Control+Enter");
    await page.locator("#op-login .answer .status").getByText("200 success").waitFor();
    await loggedIn(page);
    assert.match(page.url(), /#op-login$/, "the address names the card");
  });
  await check(`the answers are documented with examples ${at}`, async () => {
    const card = await open(page, "createPatient");
    await card.getByText("401 forbidden").click();
    await card.getByText("A valid access token is needed").waitFor();
  });
  await finish(page, at);
}

async function session({ width, colorScheme, at, picture }) {
  const page = await visit({ width, colorScheme });
  await check(`a stranger sees the real refusal, and a way to the login ${at}`, async () => {
    const card = await open(page, "whoAmI");
    const { status, body } = await send(card);
    assert.equal(status, "401 forbidden");
    assert.equal(JSON.parse(body).status, "forbidden");
    await card.locator(".answer").getByRole("button", { name: "Log in" }).click();
    await picture(page, "login");
    await page.keyboard.press("Escape");
  });
  await check(`a wrong password is told ${at}`, async () => {
    await logIn(page, USER_EMAIL, "wrong");
    await page.getByRole("alert").getByText("E-mail or password is wrong.").waitFor();
    await assertAccessible(page);
  });
  await check(`logging in by keyboard shows the whole name of the account ${at}`, async () => {
    await page.locator("#login").getByLabel("Password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await loggedIn(page);
    const account = page.locator("#account");
    assert.equal(await account.innerText(), `${USER_EMAIL} · user`);
    assert.ok(await isInView(account) || await account.isVisible());
    assert.ok(await account.evaluate((element) => element.scrollWidth <= element.clientWidth), "nothing of it is cut");
  });
  await check(`an answer is in view, in focus and announced, and so is the way on ${at}`, async () => {
    const card = await open(page, "createPatient");
    await picture(page, "request");
    const { status, body } = await send(card);
    assert.equal(status, "201 created");
    assert.equal(JSON.parse(body).data.name, "Zoë Müller");
    const answer = card.locator(".answer");
    assert.ok(await isInView(answer.locator("p").first()));
    assert.equal(await answer.getAttribute("aria-live"), "polite");
    assert.ok(await answer.evaluate((element) => element === document.activeElement));
    await picture(page, "answer");
    await answer.getByText("Headers", { exact: true }).click();
    assert.match(await answer.innerText(), /location: \/api\/patients\/\d+/);
    const find = await open(page, "findPatient");
    assert.match(await find.getByLabel("id", { exact: true }).inputValue(), /^\d+$/, "the new id is at hand");
    assert.equal((await send(find)).status, "200 success");
  });
  await check(`pressing twice makes one patient, and another one only on request ${at}`, async () => {
    const card = await open(page, "createPatient");
    await card.getByLabel("Body, JSON").fill(JSON.stringify({ name: `Twice ${at}`, date_of_birth: "1990-04-23", gender: "other" }));
    const count = async () => (await (await fetch(`${BASE_URL}/api/patients?name=${encodeURIComponent(`Twice ${at}`)}`, { headers: { Authorization: `Bearer ${await tokenOf(USER_EMAIL)}` } })).json()).data.length;
    await card.getByRole("button", { name: "Send" }).dblclick({ delay: 20 });
    await card.getByText("201 created").first().waitFor();
    await send(card);
    await card.getByText("nothing was made twice").waitFor();
    assert.equal(await count(), 1);
    await card.getByRole("button", { name: "Make another one" }).click();
    await card.getByText("nothing was made twice").waitFor({ state: "detached" });
    assert.equal(await count(), 2);
  });
  await check(`a slow answer: the button works and takes no second press, and one can stop waiting ${at}`, async () => {
    const card = await open(page, "createDoctor");
    let release;
    const released = new Promise((resolve) => { release = resolve; });
    await page.route("**/api/doctors", async (route) => { await released; await route.continue().catch(() => {}); });
    const before = page.asked.length;
    await card.getByRole("button", { name: "Send" }).click();
    const button = card.getByRole("button", { name: "Sending…" });
    await button.waitFor();
    assert.equal(await button.getAttribute("aria-busy"), "true");
    await card.getByLabel("Body, JSON").press("Control+Enter");
    await button.click({ force: true });
    assert.equal(page.asked.length, before + 1);
    await card.getByRole("button", { name: "Stop waiting" }).click();
    await card.getByText("You stopped waiting.").waitFor();
    release();
    await page.unroute("**/api/doctors");
  });
  await check(`an error envelope is shown, its fields first ${at}`, async () => {
    const card = await open(page, "createDoctor");
    await card.getByLabel("Body, JSON").fill('{ "name": " ", "years_of_experience": 81 }');
    const { status, body } = await send(card);
    assert.equal(status, "400 incomplete");
    assert.deepEqual(JSON.parse(body).data.errors.map((error) => error.field), ["name", "specialization", "years_of_experience"]);
    assert.deepEqual(await card.locator(".answer li code").allInnerTexts(), ["name", "specialization", "years_of_experience"]);
  });
  await check(`a list goes on to its next page ${at}`, async () => {
    const card = await open(page, "listPatients");
    await card.getByLabel("limit").fill("1");
    const first = JSON.parse((await send(card)).body).data[0].id;
    await card.getByRole("button", { name: "Next page" }).click();
    await card.locator(".answer pre").first().getByText(`"id": ${first},`).waitFor({ state: "detached" });
    await picture(page, "list");
    await card.getByLabel("Accept").selectOption("text/csv");
    await send(card);
    assert.match(await card.locator(".answer pre").first().innerText(), /^id,name,/);
    await card.getByLabel("Accept").selectOption("");
  });
  await check(`a history shows what changed, and a deleted record comes back by its button ${at}`, async () => {
    // On a busy machine an access token is over before the check is.
    const headers = async () => ({ Authorization: `Bearer ${await tokenOf(USER_EMAIL)}`, "Content-Type": "application/json" });
    const person = { name: `Old ${at}`, date_of_birth: "1990-04-23", gender: "other" };
    const patient = (await post("/api/patients", person, await tokenOf(USER_EMAIL))).data;
    const path = `${BASE_URL}/api/patients/${patient.id}`;
    await fetch(path, { method: "PATCH", headers: await headers(), body: JSON.stringify({ name: `New ${at}` }) });
    const versions = await open(page, "listPatientVersions");
    await versions.getByLabel("id", { exact: true }).fill(String(patient.id));
    await send(versions);
    const changes = versions.getByRole("list", { name: "What changed" }).locator("> li");
    assert.equal(await changes.count(), 2);
    assert.match(await changes.first().innerText(), new RegExp(`^update .*\\s+name: "Old ${at}" → "New ${at}"$`));
    await picture(page, "history");
    await fetch(path, { method: "DELETE", headers: await headers() });
    const deleted = await open(page, "listDeletedPatients");
    await send(deleted);
    await deleted.getByRole("button", { name: `Undelete New ${at}` }).first().click();
    await deleted.getByText("Patient brought back with 0 of 0 mappings").waitFor();
    assert.equal((await fetch(path, { headers: await headers() })).status, 200);
  });
  await check(`axe-core finds nothing with three operations and a model open ${at}`, async () => {
    await page.evaluate(() => { location.hash = "model-Patient"; });
    await page.locator("#model-Patient dl").first().waitFor();
    await assertAccessible(page);
  });
  await check(`every piece of code has a button that copies it, without TLS too ${at}`, async () => {
    assert.equal(await page.locator("pre").count(), await page.getByRole("button", { name: /^Copy: /, includeHidden: true }).count());
    const card = await open(page, "createPatient");
    const copied = async () => {
      await card.getByRole("button", { name: "Copy: The request as code" }).click();
      await card.getByText("Copied").waitFor();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    const code = await card.getByLabel("The request as code", { exact: true }).innerText();
    assert.equal(await copied(), code);
    await page.evaluate(() => navigator.clipboard.writeText(""));
    await card.getByText("Copied").waitFor({ state: "detached" });
    await page.evaluate(() => { navigator.clipboard.writeText = () => Promise.reject(new Error("not here")); });
    assert.equal(await copied(), code);
  });
  await check(`the session outlives its access token ${at}`, async () => {
    const card = await open(page, "whoAmI");
    await send(card);
    await untilEnded(tokenOnItsWay(page));
    const before = page.asked.length;
    assert.equal((await send(card)).status, "200 success");
    assert.deepEqual(page.asked.slice(before).map((request) => new URL(request.url()).pathname), ["/api/auth/me", "/api/auth/refresh", "/api/auth/me"]);
    await untilEnded(tokenOnItsWay(page));
    const [one, other] = [await open(page, "listDoctors"), await open(page, "whoAmI")];
    const again = page.asked.length;
    await page.evaluate(() => { for (const id of ["listDoctors", "whoAmI"]) document.querySelector(`#op-${id} form`).requestSubmit(); });
    for (const card of [one, other]) await card.locator(".answer").getByText("200 success").waitFor();
    assert.equal(page.asked.slice(again).filter((request) => request.url().endsWith("/refresh")).length, 1, "calls that come together share one trade");
  });
  await check(`a session that has ended says so ${at}`, async () => {
    const card = await open(page, "logout");
    await send(await open(page, "whoAmI"));
    const ended = await fetch(`${BASE_URL}/api/auth/logout`, { method: "POST", headers: { Authorization: tokenOnItsWay(page) } });
    assert.equal(ended.status, 200);
    assert.equal((await send(await open(page, "whoAmI"))).status, "401 forbidden");
    await page.locator("#account").getByText("Your session has ended").waitFor();
    await page.getByRole("banner").getByRole("button", { name: "Log in" }).waitFor();
    assert.doesNotMatch(await card.getByLabel("The request as code", { exact: true }).innerText(), /Authorization/);
  });
  await check(`registering logs in ${at}`, async () => {
    const email = `new-${width}-${colorScheme}@example.org`;
    await page.getByRole("banner").getByRole("button", { name: "Log in" }).click();
    const dialog = page.locator("#login");
    await dialog.getByRole("button", { name: "No account yet? Register" }).click();
    await dialog.getByLabel("Name").fill("New");
    await dialog.getByLabel("E-mail").fill(email);
    await dialog.getByLabel("Password").fill("short");
    await dialog.getByRole("button", { name: "Register", exact: true }).click();
    await page.getByRole("alert").getByText("password must").waitFor();
    await assertAccessible(page);
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Register", exact: true }).click();
    await loggedIn(page);
    assert.equal(await page.locator("#account").innerText(), `${email} · user`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("banner").getByRole("button", { name: "Log in" }).waitFor();
    const card = await open(page, "register");
    await card.getByLabel("Body, JSON").fill(JSON.stringify({ name: "New", email: `card-${email}`, password: PASSWORD }));
    assert.equal((await send(card)).status, "201 created");
    await loggedIn(page);
    await page.getByRole("button", { name: "Log out" }).click();
  });
  await secondFactor(page, { width, colorScheme, at });
  await finish(page, at);
}

async function secondFactor(page, { width, colorScheme, at }) {
  await check(`a second factor is set up with the QR code, and asked for at the next login ${at}`, async () => {
    const email = `totp-${width}-${colorScheme}@example.org`;
    await post("/api/auth/register", { name: "T", email, password: PASSWORD });
    await logIn(page, email);
    await loggedIn(page);
    const prepare = await open(page, "prepareTotp");
    await prepare.getByLabel("Body, JSON").fill(JSON.stringify({ current_password: PASSWORD }));
    const { secret, uri } = JSON.parse((await send(prepare)).body).data;
    const picture = await prepare.getByRole("img", { name: "QR code for an authenticator" }).screenshot();
    const read = execFileSync("zbarimg", ["--raw", "--quiet", "-Sdisable", "-Sqrcode.enable", "-"], { input: picture, stdio: ["pipe", "pipe", "ignore"] });
    assert.equal(read.toString().trim(), uri, "what a phone reads");
    const confirm = await open(page, "confirmTotp");
    await confirm.getByLabel("Body, JSON").fill(JSON.stringify({ code: totp(secret, 0) }));
    assert.equal(JSON.parse((await send(confirm)).body).data.recovery_codes.length, 10);
    await page.getByRole("button", { name: "Log out" }).click();
    await logIn(page, email);
    await page.getByRole("alert").getByText("A code of the second factor is needed.").waitFor();
    await assertAccessible(page);
    await page.getByLabel("Code of your authenticator").fill(totp(secret, 1));
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Log out" }).click();
  });
}

async function finish(page, at) {
  await check(`no script failed and nothing came from elsewhere ${at}`, async () => {
    assert.deepEqual(page.said, []);
    assert.deepEqual(page.asked.map((request) => request.url()).filter((url) => !url.startsWith(BASE_URL) && !url.startsWith("data:")), []);
  });
  await page.context().close();
}

/** The code that the page shows, run as it stands. */
async function examples() {
  const page = await visit({ width: 1400, colorScheme: "light" });
  await logIn(page);
  await loggedIn(page);
  const nasty = `O'Neil "Ümit" \\ $HOME \`id\` ${"\u{1f600}"}`;
  const body = JSON.stringify({ name: nasty, date_of_birth: "1990-04-23", gender: "other", phone: null, medical_history: "true, false\nnull" }, null, 2);
  const ways = {
    curl: (code, token) => execFileSync("sh", ["-c", code], { env: { ...process.env, TOKEN: token }, stdio: ["ignore", "pipe", "ignore"] }),
    fetch: (code, token) => execFileSync("node", ["--input-type=module"], { input: `const TOKEN = ${JSON.stringify(token)};\n${code}` }),
    Python: (code, token) => execFileSync(python, ["-"], { input: `TOKEN = ${JSON.stringify(token)}\n${code}` }),
  };
  for (const [language, run] of Object.entries(ways)) {
    await check(`the example in ${language} does what the form does`, async () => {
      const card = await open(page, "createPatient");
      await card.getByLabel("Body, JSON").fill(body);
      await card.getByRole("button", { name: language, exact: true }).click();
      const code = await card.getByLabel("The request as code", { exact: true }).innerText();
      const said = run(code, await tokenOf(USER_EMAIL)).toString();
      const envelope = JSON.parse(said.slice(said.indexOf("{")));
      assert.equal(envelope.status, "created", said);
      assert.equal(envelope.data.name, nasty);
      const search = await open(page, "listPatients");
      await search.getByLabel("name", { exact: true }).fill(nasty);
      const found = run(await search.getByLabel("The request as code", { exact: true }).innerText(), await tokenOf(USER_EMAIL)).toString();
      assert.equal(JSON.parse(found.slice(found.indexOf("{"))).data.at(-1).id, envelope.data.id, "the language stays chosen, and a query arrives");
    });
  }
  await finish(page, "in the examples");
}

/** Records and servers that mean no good, and servers that fail. */
async function trouble() {
  const page = await visit({ width: 1400, colorScheme: "light" });
  await logIn(page);
  await loggedIn(page);
  const markup = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
  await check("what a record contains stays text", async () => {
    const card = await open(page, "createPatient");
    await card.getByLabel("Body, JSON").fill(JSON.stringify({ name: markup, date_of_birth: "1990-04-23", gender: "other" }));
    const { status, body } = await send(card);
    assert.equal(status, "201 created");
    assert.equal(JSON.parse(body).data.name, markup);
  });
  const answers = {
    "markup as an answer": { status: 200, contentType: "text/html", body: markup },
    "markup in every place of an envelope": { status: 400, contentType: "application/json", headers: { link: '<javascript:alert(1)>; rel="next"', location: "javascript:alert(1)//1", "retry-after": markup },
      body: JSON.stringify({ status: markup, message: markup, data: { errors: [{ field: markup, message: markup }], uri: `otpauth:${markup}` } }) },
    "JSON of other shapes": { status: 200, contentType: "application/json", body: '{"message": {"a": 1}, "data": {"errors": [null, 1], "uri": 7, "token": 5}}' },
    "a body that ends too soon": { status: 200, contentType: "application/json", body: '{"status": "succ' },
    "null": { status: 200, contentType: "application/json", body: "null" },
  };
  for (const [name, answer] of Object.entries(answers)) {
    await check(`${name} is shown and does nothing`, async () => {
      await page.route("**/api/auth/me", (route) => route.fulfill(answer));
      const { body } = await send(await open(page, "whoAmI"));
      assert.equal(body.replace(/\s/g, ""), answer.body.replace(/\s/g, ""));
      await page.unroute("**/api/auth/me");
    });
  }
  await check("an address that names no card does nothing", async () => {
    for (const hash of ["%", "__proto__", "main", markup]) await page.evaluate((name) => { location.hash = name; }, hash);
    await send(await open(page, "healthz"));
    assert.deepEqual(page.said, []);
  });
  await check("nothing of it became an element", async () => {
    assert.equal(await page.locator("main img, main script").count(), 0);
    assert.notEqual(await page.title(), "1");
    await loggedIn(page);
  });
  await check("a busy server is told apart from a refusal, with the time to wait", async () => {
    const busy = { status: 503, headers: { "retry-after": "1" }, contentType: "application/json", body: '{"status":"failed","message":"The service is busy","data":null}' };
    await page.route("**/api/auth/me", (route) => route.fulfill(busy));
    const card = await open(page, "whoAmI");
    assert.equal((await send(card)).status, "503 failed");
    await card.getByText("Try again in 1 s").waitFor();
    await page.unroute("**/api/auth/me");
  });
  await check("a busy server at the renewal of the session ends no session", async () => {
    await untilEnded(tokenOnItsWay(page));
    await page.route("**/api/auth/refresh", (route) => route.fulfill({ status: 503, body: "" }));
    const card = await open(page, "whoAmI");
    assert.equal((await send(card)).status, "401 forbidden");
    await page.unroute("**/api/auth/refresh");
    assert.equal((await send(card)).status, "200 success");
  });
  await check("no answer at all is told", async () => {
    await page.route("**/api/auth/me", (route) => route.abort());
    const card = await open(page, "whoAmI");
    await card.getByRole("button", { name: "Send" }).click();
    await card.getByText("No answer:").waitFor();
    await page.unroute("**/api/auth/me");
  });
  await check("a document that cannot be read is asked for again", async () => {
    await page.route("**/openapi.json", (route) => route.fulfill({ status: 503, body: "" }));
    await page.reload();
    await page.getByText("The document cannot be read: the server answered 503.").waitFor();
    await page.unroute("**/openapi.json");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".op").first().waitFor();
  });
  await check("the policy of the page stops a script that comes from elsewhere", async () => {
    await page.evaluate(() => {
      document.body.append(Object.assign(document.createElement("script"), { textContent: "document.title = 'in'" }));
      document.body.append(Object.assign(document.createElement("img"), { src: "https://elsewhere.invalid/a.png" }));
    });
    assert.notEqual(await page.title(), "in");
    assert.ok(page.said.some((text) => text.includes("Content Security Policy")));
    page.said.length = page.asked.length = 0;
  });
  await finish(page, "in trouble");
}

for (const width of [390, 1400, 1920]) {
  for (const colorScheme of ["light", "dark"]) {
    const at = `at ${width} px, ${colorScheme}`;
    const picture = async (page, name) => { if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${width}-${colorScheme}-${name}.png` }); };
    await reading({ width, colorScheme, at, picture });
    await session({ width, colorScheme, at, picture });
  }
}
await examples();
await trouble();

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
