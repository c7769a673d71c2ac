// Makes the Postman collection (format 2.1) from the OpenAPI document: every operation once, with its example as the body and a
// test that its answer is what the document promises.
//
//   healthcare-backend openapi | node tests/clients/postman.mjs >postman.json   (make postman does this)
//
// The collection runs from top to bottom as it stands: log in, make, read, change; what removes things comes last. Variables:
// base_url, email, password, admin_email. Ids are taken from the answers.

import { readFileSync } from "node:fs";

const api = JSON.parse(readFileSync(0, "utf8"));
const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation, id: operation.operationId, tag: operation.tags[0] })));

/** These end something that others need. */
const isLast = ({ method, id }) => method === "delete" || /undelete|adminShare|Transfer|askForEmergency|Review/i.test(id) || ["logout", "changePassword", "resetPassword"].includes(id);
/** What holds others goes after them. */
const lastOrder = ["adminTransferPatient", "askForEmergencyAccess", "adminReviewEmergencyAccess", "endEmergencyAccess", "adminTransferPatients", "resetPassword", ...["Mapping", "Patient", "Doctor"].flatMap((kind) => ["delete", "undelete", "adminDelete", "adminUndelete"].map((act) => act + kind)),
  "adminRemoveMember", "adminDeleteGroup",
  "endSession", "adminEndSessions", "changePassword", "logout"];

/** The variable that a place in the path is filled from. */
function variable({ path, id }, place) {
  if (place === "patient_id" || id === "listDoctorsOfPatient") return "patient_id";
  if (place === "user_id" || place === "share_id") return place;
  if (path.includes("/emergency-access/")) return "grant_id";
  // One patient goes to the new account, which is an emergency, and all of that account come back.
  if (id === "adminTransferPatients") return "colleague_id";
  const [, kind] = /\/(sessions|patients|doctors|mappings|users|groups)\/\{id\}/.exec(path);
  return path.startsWith("/api/patients/{patient_id}") ? "mapping_id" : `${kind.slice(0, -1)}_id`;
}

/** The body: the example, with the variables where a record or an account of this run is meant. */
function body({ operation, id }) {
  const media = operation.requestBody?.content["application/json"];
  if (!media) return undefined;
  const fields = { ...media.example };
  if (id === "register" || id === "login") fields.email = "{{email}}";
  for (const name of ["password", "current_password"]) if (name in fields) fields[name] = "{{password}}";
  // Without a password, the new account has an invitation, whose token `resetPassword` uses.
  if (id === "adminCreateUser") Object.assign(fields, { email: "{{$timestamp}}@example.org", password: null });
  if (id === "resetPassword") fields.token = "{{one_time_token}}";
  if (id.endsWith("Group")) fields.name = "Practice {{$timestamp}}";
  if (id === "sharePatient") Object.assign(fields, { user_id: undefined, email: "{{admin_email}}" });
  if (id === "adminSharePatient") fields.user_id = "{{colleague_id}}";
  if (id === "adminUpdateUser" || id === "adminPatchUser") fields.may_break_glass = true;
  if ("to" in fields) fields.to = id === "adminTransferPatients" ? "{{user_id}}" : "{{colleague_id}}";
  if (id === "confirmTotp") fields.code = "{{totp_code}}";
  if (id === "removeTotp") fields.code = "{{recovery_code}}";
  if ("refresh_token" in fields) fields.refresh_token = "{{refresh_token}}";
  if ("license_number" in fields) fields.license_number = "{{$timestamp}}";
  const raw = JSON.stringify(fields, null, 2).replace(/"((?:patient|doctor)_id)": \d+/g, '"$1": {{$1}}').replace(/"(\{\{(?:colleague|user)_id\}\})"/, "$1");
  return { mode: "raw", raw, options: { raw: { language: "json" } } };
}

/** What an authenticator does with a secret (RFC 6238), in the words of Postman's sandbox. */
const authenticator = [
  'const bits = [...answer.data.secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");',
  'const hashes = require("crypto-js");',
  'const key = hashes.enc.Hex.parse(bits.match(/.{4}/g).map((four) => parseInt(four, 2).toString(16)).join(""));',
  'const step = hashes.enc.Hex.parse(Math.floor(Date.now() / 30000).toString(16).padStart(16, "0"));',
  "const mac = hashes.HmacSHA1(step, key).toString();",
  "const place = 2 * parseInt(mac[39], 16);",
  'const code = String((parseInt(mac.slice(place, place + 8), 16) & 0x7fffffff) % 1000000).padStart(6, "0");',
];

/** Checks status, type and word, and keeps what later requests need. */
function script({ operation, id, tag }) {
  const [status, response] = Object.entries(operation.responses)[0];
  const [type, media] = Object.entries(response.content ?? {})[0] ?? [];
  const lines = [`pm.test("${status}, as the document says", () => pm.response.to.have.status(${status}));`];
  if (type) lines.push(`pm.test("${type}", () => pm.expect(pm.response.headers.get("Content-Type")).to.include("${type}"));`);
  if (media?.example) {
    const { status: word, message } = media.example;
    lines.push(
      "const answer = pm.response.json();",
      `pm.test("${word}: ${message}", () => {`,
      '  pm.expect(Object.keys(answer)).to.have.members(["status", "message", "data"]);',
      `  pm.expect([answer.status, answer.message]).to.eql(${JSON.stringify([word, message])});`,
      "});",
    );
  }
  const keep = (name, value) => lines.push(`pm.collectionVariables.set("${name}", ${value});`);
  if (id === "register") keep("user_id", "answer.data.id");
  if (id === "login" || id === "refresh" || id === "changePassword") {
    keep("token", "answer.data.token");
    keep("refresh_token", "answer.data.refresh_token");
  }
  if (id === "createPatient" || id === "createDoctor" || id === "createMapping") keep(`${tag.slice(0, -1).toLowerCase()}_id`, "answer.data.id");
  if (id === "sharePatient" || id === "adminSharePatient") keep("share_id", "answer.data.id");
  if (id === "askForEmergencyAccess") keep("grant_id", "answer.data.grants[0].id");
  if (id === "adminCreateUser") keep("colleague_id", "answer.data.id");
  if (id === "adminCreateGroup") keep("group_id", "answer.data.id");
  if (id === "adminCreateUser") keep("one_time_token", "answer.data.invitation.token");
  if (id === "prepareTotp") lines.push(...authenticator);
  if (id === "prepareTotp") keep("totp_code", "code");
  if (id === "confirmTotp") keep("recovery_code", "answer.data.recovery_codes[0]");
  if (id === "listSessions") keep("session_id", "answer.data.find((session) => session.current).id");
  return { listen: "test", script: { type: "text/javascript", exec: lines } };
}

function item(one) {
  const { path, method, operation, tag } = one;
  const filled = path.replace("{version}", "1").replace(/\{(\w+)\}/g, (_, place) => `{{${variable(one, place)}}}`);
  const query = operation.parameters.filter((parameter) => parameter.in === "query")
    .map(({ name, description }) => ({ key: name, value: "", description, disabled: true }));
  const header = operation.requestBody ? [{ key: "Content-Type", value: "application/json" }] : [];
  const token = tag === "Admin" ? "{{admin_token}}" : "{{token}}";
  const auth = operation.security.length ? { type: "bearer", bearer: [{ key: "token", value: token, type: "string" }] } : { type: "noauth" };
  const url = { raw: `{{base_url}}${filled}`, host: ["{{base_url}}"], path: filled.split("/").slice(1), ...(query.length ? { query } : {}) };
  const request = { method: method.toUpperCase(), header, auth, body: body(one), url, description: operation.description };
  // A 303 is looked at, not followed.
  return { name: operation.summary, event: [script(one)], protocolProfileBehavior: { followRedirects: false }, request };
}

/** The admin's session, which no operation of its own stands for. */
function adminLogin() {
  const login = item(operations.find((one) => one.id === "login"));
  login.name = "Log in as an admin";
  login.request.body.raw = login.request.body.raw.replace("{{email}}", "{{admin_email}}");
  login.event[0].script.exec = login.event[0].script.exec.filter((line) => !line.includes("refresh_token"))
    .map((line) => line.replace('set("token"', 'set("admin_token"'));
  return login;
}

const folders = api.tags.map(({ name, description }) => {
  const of = operations.filter((one) => one.tag === name && !isLast(one)).map(item);
  return { name, description, item: name === "Admin" ? [adminLogin(), ...of] : of };
});
const last = operations.filter(isLast).sort((one, other) => lastOrder.indexOf(one.id) - lastOrder.indexOf(other.id));

// What is deleted comes back, is deleted the second way, comes back and goes for good: a mapping before its patient, which then comes back
// without any.
const again = { adminUndeleteMapping: "deleteMapping", adminUndeletePatient: "deletePatient", adminUndeleteDoctor: "deleteDoctor",
  adminEndSessions: "login", endSession: "login" };
const ending = last.flatMap((one) => [one, ...operations.filter(({ id }) => id === again[one.id])].map(item));
folders.push({ name: "Deletes, and log out", description: "Last, and in this order.", item: ending });

const values = { base_url: "http://127.0.0.1:8080", email: "ann@example.org", password: "correct horse battery", admin_email: "admin@example.org" };
const collection = {
  info: {
    name: `${api.info.title} ${api.info.version}`,
    description: `${api.info.description}\n\nSet the variables, then run it from top to bottom; \`admin_email\` names an admin with the same password.`,
    schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
  },
  variable: Object.entries(values).map(([key, value]) => ({ key, value, type: "string" })),
  item: folders,
};
console.log(JSON.stringify(collection, null, 2));
