// A session through the client of @hey-api/openapi-ts.

import assert from "node:assert/strict";
import { createClient } from "./generated/client";
import { createPatient, findPatient, listPatients, login, patchPatient, register, updatePatient } from "./generated";
import { baseUrl, newPatient, nextPage, password } from "./shared";

const email = "hey-api@example.org";
const client = createClient({ baseUrl });
await register({ client, body: { name: "Hey API", email, password } });
const grant = await login({ client, body: { email, password } });
assert(grant.data, "a log-in");
client.setConfig({ auth: grant.data.data.token });

const ids: number[] = [];
let etag = "";
let created: Awaited<ReturnType<typeof createPatient>> | undefined;
for (let count = 0; count < 5; count += 1) {
  created = await createPatient({ client, body: newPatient });
  assert(created.data, "a patient");
  etag = created.response?.headers.get("ETag") ?? "";
  ids.push(created.data.data.id);
}
const seen: number[] = [];
for (let after: number | undefined = 0; after !== undefined; ) {
  const page = await listPatients({ client, query: { limit: 2, ...(after ? { after } : {}) } });
  assert(page.data, "a page");
  seen.push(...page.data.data.map((patient) => patient.id));
  after = nextPage(page.response?.headers.get("Link"));
}
assert.deepEqual(seen, ids);

const path = { id: ids[4] ?? 0 };
assert(created?.data, "a patient");
// What was read goes back as it is, with one field changed.
const body = { ...created.data.data, phone: "+49 30 1234567" };
const changed = await updatePatient({ client, path, headers: { "If-Match": etag }, body });
assert.equal(changed.data?.data.phone, "+49 30 1234567");
const late = await patchPatient({ client, path, headers: { "If-Match": etag }, body: { phone: null } });
assert.equal(late.response?.status, 412);
const refused = await createPatient({ client, body: { ...newPatient, phone: "12" } });
assert(refused.error?.status === "invalid" && refused.error.data && "errors" in refused.error.data, "a refusal");
assert.deepEqual(refused.error.data.errors.map((error) => error.field), ["phone"]);
assert.equal((await findPatient({ client, path: { id: 999_999 } })).response?.status, 404);
