
/** Who is logged in. `made` has the newest id of each kind of record. Nothing of it outlives the page. */
const session = { token: "", refresh: "", made: {} };

/** Sends a call and reads its answer. */
async function send(call, signal) {
  const headers = { ...call.headers };
  if (call.isSigned) headers.Authorization = `Bearer ${session.token}`;
  const started = performance.now();
  const answer = await fetch(call.target, { method: call.method, headers, body: call.body || undefined, signal, cache: "no-store", credentials: "omit" });
  const text = await answer.text();
  let json;
  try { json = JSON.parse(text); } catch { /* not every answer is JSON */ }
  return { answer, text, json, took: Math.round(performance.now() - started) };
}

const post = (target, body) => send({ method: "POST", target, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** Sends a call. If its access token has ended, the refresh token gets a new pair, and the call is sent once more: it has done nothing yet. */
async function sendInSession(call, signal) {
  const token = session.token;
  const result = await send(call, signal);
  const hasEnded = call.isSigned && result.answer.status === 401 && result.json?.status === "forbidden";
  return hasEnded && await renewed(token) ? send(call, signal) : result;
}

/** The trade of the refresh token that is on its way, if there is one. */
let trade = null;

/** Whether there is a token in place of this one, which has ended. Calls that come together share one trade. */
async function renewed(ended) {
  if (session.token === ended) trade ??= tradeRefreshToken().finally(() => { trade = null; });
  await trade;
  return session.token !== "" && session.token !== ended;
}

async function tradeRefreshToken() {
  const sent = session.refresh;
  const { answer, json } = await post("/api/auth/refresh", { refresh_token: sent }).catch(() => ({ answer: {} }));
  if (session.refresh !== sent) return; // Logged out meanwhile.
  if (answer.ok) signedIn(json.data);
  else if (answer.status === 401) signedIn(null, "Your session has ended");
}

/** Takes the tokens of a login, or forgets them. */
function signedIn(grant, reason = "") {
  session.token = grant?.token ?? "";
  session.refresh = grant?.refresh_token ?? "";
  $("account").textContent = grant ? `${grant.user.email} · ${grant.user.role}` : reason;
  $("session").textContent = grant ? "Log out" : "Log in";
  tell(grant ? "Logged in" : reason || "Logged out");
  document.dispatchEvent(new Event("session"));
}

/** The data of an answer. A refusal becomes an error with its message and the fields that it names. */
function dataOf({ answer, json }) {
  if (answer.ok) return json.data;
  const errors = json?.data?.errors?.map(({ field, message }) => `${field} ${message}`).join("; ");
  throw new Error(`${json?.message ?? `The server answered ${answer.status}`}${errors ? `: ${errors}` : ""}.`);
}

async function logIn(email, password, code = null) {
  const result = await post("/api/auth/login", { email, password, code });
  if (result.json?.data?.code_required) {
    $("code-row").hidden = false;
    $("code").focus();
  }
  signedIn(dataOf(result));
}

/** Turns the dialog to logging in or to registering. */
function askFor(isNew) {
  const title = isNew ? "Register" : "Log in";
  $("login-title").textContent = $("login-go").textContent = title;
  $("other-way").textContent = isNew ? "Log in instead" : "No account yet? Register";
  $("name-row").hidden = !isNew;
  $("name").required = isNew;
  $("password").autocomplete = isNew ? "new-password" : "current-password";
  $("code-row").hidden = true;
  $("login-error").textContent = "";
}

function openLogin() {
  askFor(false);
  $("login").showModal();
}

async function submitLogin(event) {
  event.preventDefault();
  const [name, email, password, code] = ["name", "email", "password", "code"].map((id) => $(id).value);
  await once($("login-go"), async () => {
    $("login-error").textContent = "";
    try {
      if (!$("name-row").hidden) {
        dataOf(await post("/api/auth/register", { name, email, password }));
        askFor(false);
      }
      await logIn(email, password, $("code-row").hidden ? null : code);
      $("login-form").reset();
      $("login").close();
    } catch (error) {
      $("login-error").textContent = error.message;
      $("login-go").ariaDisabled = null; // Another try may follow at once.
    }
  });
}

async function logOut() {
  await once($("session"), async () => {
    await sendInSession({ method: "POST", target: "/api/auth/logout", headers: {}, isSigned: true }).catch(() => {});
    signedIn(null);
  });
}

/** Does the work of a button, which shows it meanwhile. It cannot be pressed again before that, nor within half a second: a double click is one press. */
async function once(pressed, work, label = pressed.textContent) {
  if (pressed.ariaDisabled || pressed.ariaBusy) return;
  const before = pressed.textContent;
  pressed.ariaDisabled = pressed.ariaBusy = "true";
  pressed.textContent = label;
  const moment = pause(500);
  try {
    await work();
  } finally {
    pressed.ariaBusy = null;
    if (pressed.textContent === label) pressed.textContent = before;
    await moment;
    pressed.ariaDisabled = null;
  }
}
