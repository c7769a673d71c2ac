// Drives /docs in chromium at the width of a phone and of a desk, light and dark: it loads without a word in the console,
// logs in, creates and lists a patient, shows an error envelope, works by keyboard, and axe-core finds nothing serious.
//
//   make test-browser
//
// One line a check; the last line is the totals. BASE_URL, USER_EMAIL and PASSWORD come from tests/tools/with-server.sh.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const tools = createRequire(new URL("../../target/tools/node/package.json", import.meta.url));
const { chromium } = tools("playwright-core");
const axe = await readFile(tools.resolve("axe-core/axe.min.js"), "utf8");
const { BASE_URL, USER_EMAIL, PASSWORD } = process.env;
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => process.getBuiltinModule("fs").existsSync(path));
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

/** Nothing of the impact "serious" or "critical". The page's policy lets no script in, so axe comes through the debugger. */
async function assertAccessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  assert.deepEqual(bad.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`), []);
}

async function open(page, id) {
  await page.evaluate((hash) => { location.hash = hash; }, `op-${id}`);
  const card = page.locator(`#op-${id}`);
  await card.locator("form").waitFor();
  return card;
}

async function send(card) {
  await card.getByRole("button", { name: "Send" }).click();
  await card.locator(".answer .status").waitFor();
  return { status: await card.locator(".answer .status").innerText(), body: await card.locator(".answer pre").first().innerText() };
}

/** The code of a secret in base32, so many steps from now (RFC 6238). */
function totp(secret, steps) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac("sha1", key).update(step).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

for (const [width, colorScheme] of [[400, "light"], [400, "dark"], [1280, "light"], [1280, "dark"]]) {
  const at = `at ${width} px, ${colorScheme}`;
  const context = await browser.newContext({ viewport: { width, height: 850 }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const said = [];
  const elsewhere = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  page.on("request", (request) => { if (!request.url().startsWith(BASE_URL) && !request.url().startsWith("data:")) elsewhere.push(request.url()); });

  await check(`the page loads ${at}`, async () => {
    await page.goto(`${BASE_URL}/docs`);
    await page.locator(".op").first().waitFor();
    const document = await (await fetch(`${BASE_URL}/openapi.json`)).json();
    const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods)).length;
    assert.equal(await page.locator(".op").count(), operations, "a card for every operation");
    assert.deepEqual(said, []);
  });
  await check(`nothing is wider than the screen ${at}`, async () => {
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  });
  await check(`a stranger sees the real refusal ${at}`, async () => {
    const { status, body } = await send(await open(page, "whoAmI"));
    assert.equal(status, "401 forbidden");
    assert.equal(JSON.parse(body).status, "forbidden");
    said.length = 0; // Chromium itself notes every answer above 399 in the console.
  });
  await check(`a wrong password is told ${at}`, async () => {
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByLabel("E-mail").fill(USER_EMAIL);
    await page.getByLabel("Password").fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("E-mail or password is wrong.").waitFor();
    await assertAccessible(page);
    said.length = 0;
  });
  await check(`logging in by keyboard ${at}`, async () => {
    await page.getByLabel("Password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Log out" }).waitFor();
    assert.match(await page.locator("#who").innerText(), new RegExp(USER_EMAIL));
  });
  await check(`a patient is created, with headers and the curl line ${at}`, async () => {
    const card = await open(page, "createPatient");
    const { status, body } = await send(card);
    assert.equal(status, "201 created");
    assert.equal(JSON.parse(body).data.name, "Zoë Müller");
    await card.getByText("Headers", { exact: true }).click();
    assert.match(await card.locator(".answer").innerText(), /location: \/api\/patients\/\d+/);
    assert.match(await card.locator("form pre").first().innerText(), /curl -i -X POST '.*\/api\/patients' \\\n\s+-H "Authorization: Bearer \$TOKEN"/);
  });
  await check(`the patient is in the list, a page at a time ${at}`, async () => {
    const card = await open(page, "listPatients");
    await card.getByLabel("limit").fill("1");
    const first = JSON.parse((await send(card)).body).data;
    assert.equal(first.length, 1);
    assert.equal(first[0].name, "Zoë Müller");
  });
  await check(`the new id is at hand ${at}`, async () => {
    const card = await open(page, "findPatient");
    assert.match(await card.getByLabel("id", { exact: true }).inputValue(), /^\d+$/);
    assert.equal((await send(card)).status, "200 success");
  });
  await check(`an error envelope is shown ${at}`, async () => {
    const card = await open(page, "createDoctor");
    await card.getByLabel("Body, JSON").fill('{ "name": " ", "years_of_experience": 81 }');
    const { status, body } = await send(card);
    assert.equal(status, "400 incomplete");
    assert.deepEqual(JSON.parse(body).data.errors.map((error) => error.field), ["name", "specialization", "years_of_experience"]);
    said.length = 0;
  });
  await check(`the answers are documented with examples ${at}`, async () => {
    const card = await open(page, "createPatient");
    await card.getByText("401 forbidden").click();
    await card.getByText("A valid access token is needed").waitFor();
  });
  await check(`axe-core finds nothing serious ${at}`, () => assertAccessible(page));
  await check(`the filter leaves what it names ${at}`, async () => {
    await page.keyboard.press("Escape");
    await page.locator("body").press("/");
    await page.keyboard.type("audit");
    assert.equal(await page.locator(".op:visible").count(), 1);
    await page.getByLabel("Filter the endpoints").fill("");
  });
  await check(`a card opens by keyboard ${at}`, async () => {
    const card = page.locator("#op-listDoctors");
    await card.locator("> summary").focus();
    await page.keyboard.press("Enter");
    await card.getByRole("button", { name: "Send" }).waitFor();
  });
  await check(`logging out forgets the token ${at}`, async () => {
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByText("Not logged in").waitFor({ state: "attached" });
    assert.doesNotMatch(await page.locator("#op-createPatient form pre").first().innerText(), /Authorization/);
  });
  await check(`a second factor is set up with the QR code, and asked for at the next login ${at}`, async () => {
    const email = `totp-${width}-${colorScheme}@example.org`;
    const json = { "Content-Type": "application/json" };
    await fetch(`${BASE_URL}/api/auth/register`, { method: "POST", headers: json, body: JSON.stringify({ name: "T", email, password: PASSWORD }) });
    const logIn = async () => {
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByLabel("E-mail").fill(email);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.keyboard.press("Enter");
    };
    await logIn();
    await page.getByRole("button", { name: "Log out" }).waitFor();
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
    await logIn();
    await page.getByRole("alert").getByText("A code of the second factor is needed.").waitFor();
    await assertAccessible(page);
    await page.getByLabel("Code of your authenticator").fill(totp(secret, 1));
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Log out" }).click();
    said.length = 0;
  });
  await check(`the login tells how to get an account ${at}`, async () => {
    await page.getByRole("button", { name: "Log in" }).click();
    await page.locator("#login").getByRole("link", { name: "Register" }).click();
    await page.locator("#op-register form").waitFor();
    assert.equal(await page.locator("#login").isVisible(), false);
  });
  await check(`no script failed and nothing came from elsewhere ${at}`, async () => {
    assert.deepEqual(said, []);
    assert.deepEqual(elsewhere, []);
  });
  await context.close();
}

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
