// A session through the functions that orval makes for `fetch`.

import assert from "node:assert/strict";
import { createPatient, findPatient, listPatients, login, patchPatient, register } from "./generated/clinic";
import { newPatient, nextPage, password } from "./shared";

const email = "orval@example.org";
await register({ name: "Orval", email, password });
const grant = await login({ email, password });
assert(grant.status === 200, "a log-in");
const options = { headers: { Authorization: `Bearer ${grant.data.data.token}` } };

const ids: number[] = [];
let etag = "";
for (let count = 0; count < 5; count += 1) {
  const created = await createPatient(newPatient, options);
  assert(created.status === 201, "a patient");
  etag = created.headers.get("ETag") ?? "";
  ids.push(created.data.data.id);
}
const seen: number[] = [];
for (let after: number | undefined = 0; after !== undefined; ) {
  const page = await listPatients({ limit: 2, ...(after ? { after } : {}) }, options);
  // A list may be CSV, which is a string.
  assert(page.status === 200 && typeof page.data !== "string", "a page");
  seen.push(...page.data.data.map((patient) => patient.id));
  after = nextPage(page.headers.get("Link"));
}
assert.deepEqual(seen, ids);

const id = ids[4] ?? 0;
const matching = { headers: { ...options.headers, "If-Match": etag } };
const changed = await patchPatient(id, { phone: "+49 30 1234567" }, matching);
assert(changed.status === 200, "a change");
assert.equal(changed.data.data.phone, "+49 30 1234567");
assert.equal((await patchPatient(id, { phone: null }, matching)).status, 412);
const refused = await createPatient({ ...newPatient, phone: "12" }, options);
assert(refused.status === 400, "a refusal");
assert.deepEqual(refused.data.data.errors.map((error) => error.field), ["phone"]);
assert.equal((await findPatient(999_999, options)).status, 404);
