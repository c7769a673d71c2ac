
/** The kind of record whose id belongs in this place of a path. */
function kindOf(op, name) {
  if (op.id === "listDoctorsOfPatient") return "patients";
  return name === "id" ? op.path.split("/{id}")[0].split("/").pop() : `${name.replace(/_id$/, "")}s`;
}

/** One parameter and its input. */
function place(op, parameter) {
  const schema = whole(parameter.schema);
  const id = `${op.id}-${parameter.name}`;
  const words = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
  const input = words
    ? h("select", { id }, h("option", { value: "" }, "—"), words.map((word) => h("option", {}, word)))
    : h("input", { id, autocomplete: "off", spellcheck: "false", inputmode: schema.type === "integer" ? "numeric" : null, placeholder: parameter.example ?? null });
  input.dataset.at = parameter.in;
  input.name = parameter.name;
  if (parameter.in === "path") {
    input.dataset.kind = kindOf(op, parameter.name);
    input.value = session.made[input.dataset.kind] ?? "";
  }
  if (parameter.name === "Idempotency-Key") input.value = newKey();
  const about = words ? [] : kind(parameter.schema);
  return h("div", { class: "place" }, h("label", { for: id, class: parameter.required ? "must" : "" }, parameter.name), input,
    h("small", {}, about, about.length ? ". " : "", prose(parameter.description)));
}

/** A key that makes a request the same when it is sent again. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** The example of a body, about the records that were made last. */
function exampleBody(media) {
  const example = exampleOf(media);
  for (const kind of ["patient", "doctor"]) if (example?.[`${kind}_id`] && session.made[`${kind}s`]) example[`${kind}_id`] = session.made[`${kind}s`];
  return JSON.stringify(example, null, 2);
}

/** The request that the form describes. */
function requestOf(op, form) {
  let path = op.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll("[data-at]")) {
    const value = input.value.trim();
    if (input.dataset.at === "path") path = path.replace(`{${input.name}}`, value ? encodeURIComponent(value) : "$&");
    else if (value && input.dataset.at === "query") query.set(input.name, value);
    else if (value) headers[input.name] = value;
  }
  const body = form.querySelector("textarea")?.value;
  if (body) headers["Content-Type"] = "application/json";
  const target = query.size ? `${path}?${query}` : path;
  return { method: op.method.toUpperCase(), target, headers, body, isSigned: op.isSigned && session.token !== "" };
}

/** What can be set beside the body: path and query in the open, headers folded away. */
function places(op) {
  const all = op.parameters.filter((parameter) => parameter.in !== "cookie");
  const inHead = all.filter((parameter) => parameter.in === "header");
  const others = all.filter((parameter) => parameter.in !== "header");
  const types = Object.keys(op.answers[0][1].content ?? {});
  const accept = { name: "Accept", in: "header", description: "The form of the answer.", schema: { enum: types } };
  if (types.length > 1) others.push(accept);
  return [
    others.length ? [h("h4", {}, "Parameters"), others.map((parameter) => place(op, parameter))] : [],
    inHead.length ? fold("Headers", inHead.map((parameter) => place(op, parameter))) : "",
  ];
}

/** The form of an operation, and below its button the answer. */
function tryIt(op) {
  const [parameters, headers] = places(op);
  const text = op.body && exampleBody(op.body);
  const area = op.body && h("textarea", { rows: text.split("\n").length + 1, spellcheck: "false", "aria-label": "Body, JSON" }, text);
  const go = button("Send", null, { class: "go", type: "submit" });
  const stop = button("Stop waiting", null, { hidden: true });
  const hint = h("span", { class: "soft small" });
  const answer = h("div", { class: "answer", tabindex: -1, role: "group", "aria-label": `Answer of ${op.title}`, "aria-live": "polite" });
  const form = h("form", { novalidate: true }, parameters, area ? [h("h4", {}, "Body"), area] : "", headers, h("div", { class: "row send" }, go, stop, hint), answer);
  const key = form.elements["Idempotency-Key"];
  const changed = () => {
    hint.textContent = op.isSigned && !session.token ? "You are not logged in: this shows the refusal." : "";
    form.dispatchEvent(new Event("change"));
  };
  form.oninput = (event) => {
    if (event.target === key) key.dataset.isOwn = true;
    else if (key && !key.dataset.isOwn) key.value = newKey();
    changed();
  };
  form.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  };
  document.addEventListener("session", changed);
  form.onsubmit = (event) => {
    event.preventDefault();
    once(go, () => sendForm(op, form, answer, stop), "Sending…");
  };
  changed();
  return form;
}

/** Sends the form and shows the answer, in view and in focus. After a second, one can stop waiting. */
async function sendForm(op, form, answer, stop) {
  const waiting = new AbortController();
  const patience = setTimeout(() => { stop.hidden = false; }, 1000);
  stop.onclick = () => waiting.abort();
  const call = requestOf(op, form);
  try {
    const result = await sendInSession(call, waiting.signal);
    answer.replaceChildren(...shown(op, form, result).flat().filter(Boolean));
    await learn(op, call, result);
  } catch (error) {
    const why = waiting.signal.aborted ? "You stopped waiting. The request may have been carried out." : `No answer: ${error.message}.`;
    answer.replaceChildren(h("p", { class: "no" }, why));
  }
  clearTimeout(patience);
  stop.hidden = true;
  answer.focus({ preventScroll: true });
  const room = innerHeight - $("bar").offsetHeight - 48;
  answer.scrollIntoView({ block: answer.offsetHeight < room ? "nearest" : "start" });
}

/** An answer: its status and message first, then its body and its headers. */
function shown(op, form, result) {
  const { answer, text, json, took } = result;
  const tone = answer.ok ? "ok" : answer.status < 500 ? "hm" : "no";
  const wait = answer.headers.get("retry-after");
  const errors = json?.data?.errors;
  return [
    h("p", {}, h("span", { class: `status ${tone}` }, `${answer.status} ${json?.status ?? answer.statusText}`), json?.message ? `: ${json.message}` : ""),
    h("p", { class: "soft small" }, `${took} ms, ${text.length.toLocaleString("en")} characters${wait ? `. Try again in ${wait} s` : ""}`),
    Array.isArray(errors) ? h("ul", {}, errors.map((error) => h("li", {}, h("code", {}, error?.field), ` ${error?.message}`))) : "",
    ways(form, answer),
    historyOf(op, result),
    json?.data?.uri?.startsWith?.("otpauth:") ? qrCode(json.data.uri) : "",
    text ? block("Body of the answer", json ? colored(json) : text) : "",
    fold("Headers", block("Headers of the answer", [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n"))),
  ];
}

/** Sends the form again, for a button of its answer, which is good for one press. */
function sendAgain(form, pressed) {
  pressed.disabled = true;
  form.querySelector(".go").ariaDisabled = null;
  form.requestSubmit();
}

/** Where one may go from an answer: to the next page, to a second record, to the login. */
function ways(form, answer) {
  const next = /^<([^>]*)>; rel="next"$/.exec(answer.headers.get("link") ?? "");
  if (next) {
    return button("Next page", ({ target }) => {
      for (const [name, value] of new URL(next[1], location).searchParams) if (form.elements[name]) form.elements[name].value = value;
      sendAgain(form, target);
    });
  }
  if (answer.headers.get("idempotency-replayed")) {
    return [h("p", {}, "The same request was sent before. This is its answer once more; nothing was made twice."), button("Make another one", ({ target }) => {
      form.elements["Idempotency-Key"].value = newKey();
      sendAgain(form, target);
    })];
  }
  return answer.status === 401 && !session.token ? button("Log in", () => openLogin()) : "";
}

/** Keeps what an answer gives for later requests: tokens, and the id of a new record. Who registers is logged in. */
async function learn(op, call, { answer, json }) {
  if (json?.data?.token && json.data.refresh_token) signedIn(json.data);
  if (answer.ok && op.id === "logout") signedIn(null);
  if (answer.ok && op.id === "register") {
    const { email, password } = JSON.parse(call.body);
    await logIn(email, password).catch(() => {});
  }
  const [, kind, id] = /\/(\w+)\/(\d+)$/.exec(answer.headers.get("location") ?? "") ?? [];
  if (!kind) return;
  session.made[kind] = id;
  for (const input of document.querySelectorAll(`[data-kind="${kind}"]`)) input.value ||= id;
}

/** The request of a form as code, in the language that was chosen last. */
function codeOf(op, form) {
  const example = block("The request as code", "");
  const code = example.querySelector("pre");
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Language of the example" },
    Object.keys(LANGUAGES).map((name) => button(name, () => choose("language", name))));
  const show = () => {
    const name = LANGUAGES[chosen("language")] ? chosen("language") : "curl";
    for (const tab of tabs.children) tab.ariaPressed = String(tab.textContent === name);
    code.replaceChildren(LANGUAGES[name](requestOf(op, form)));
  };
  for (const [target, name] of [[form, "change"], [document, "choice"]]) target.addEventListener(name, show);
  show();
  return [tabs, example];
}

/** One possible answer. */
function answerOf([status, response]) {
  const [type, media] = Object.entries(response.content ?? {})[0] ?? [];
  const example = media && exampleOf(media);
  const tone = status < 300 ? "ok" : status < 400 ? "soft" : status < 500 ? "hm" : "no";
  const headers = Object.keys(response.headers ?? {}).filter((name) => name !== "X-Request-Id");
  const data = media && whole(media.schema).properties?.data;
  const model = modelOf(data) ?? modelOf(resolve(data).items) ?? modelOf(media?.schema);
  return fold([h("span", { class: `status ${tone}` }, `${status === "default" ? "Any other" : status} ${example?.status ?? ""}`), " ", h("span", { class: "soft" }, prose(response.description))],
    headers.length ? h("p", { class: "soft" }, "Headers: ", headers.map((name, at) => [at ? ", " : "", h("code", {}, name)])) : "",
    model ? h("p", { class: "soft" }, "Model: ", link(model)) : "",
    example ? block(`Example of ${status}`, colored(example)) : h("p", { class: "soft" }, type ? `A body of type ${type}.` : "No body."));
}

function details(op) {
  const form = tryIt(op);
  const [common, own] = [true, false].map((isCommon) => op.answers.filter(([status]) => op.common.has(status) === isCommon).map(answerOf));
  const access = !op.isSigned ? "Anyone" : op.tag === "Admin" ? "Admins" : "Logged-in users";
  const model = op.body && modelOf(op.body.schema);
  return h("div", {},
    h("span", { class: "pill" }, access), h("span", { class: "pill mono" }, op.id),
    op.about ? h("p", {}, prose(op.about)) : "",
    h("div", { class: "columns" },
      form,
      h("div", {},
        codeOf(op, form),
        op.body ? [h("h4", {}, "Fields of the body", model ? [": ", link(model)] : ""), fields(op.body.schema, (field) => !field.readOnly)] : "",
        h("h4", {}, "Answers"), own,
        common.length ? fold(h("span", { class: "soft" }, "Errors that any request can get"), common) : "")));
}

/** A card that fills itself when it is opened first, and puts its name into the address. */
function card(kind, name, summary, fill) {
  const id = `${kind}-${name}`;
  const element = h("details", { class: `card ${kind}`, id }, summary);
  element.addEventListener("toggle", () => {
    if (!element.open) return;
    if (element.children.length === 1) element.append(fill());
    history.replaceState(null, "", `#${id}`);
  });
  return element;
}

const operationCard = (op) => card("op", op.id,
  h("summary", {}, h("span", { class: `verb ${op.method}` }, op.method.toUpperCase()), h("h3", {}, op.title), h("span", { class: "mono" }, op.path)),
  () => details(op));

const modelCard = (name, schema) => card("model", name, h("summary", {}, h("h3", { class: "mono" }, name)), () => h("div", {},
  schema.description ? h("p", {}, prose(schema.description)) : "",
  h("div", { class: "columns" }, h("div", {}, h("h4", {}, "Fields"), fields(schema)), h("div", {}, h("h4", {}, "Example"), block(`Example of ${name}`, colored(exampleOf({ schema }) ?? null))))));
