// A session through the client that openapi-generator makes as `typescript-axios`.

import assert from "node:assert/strict";
import { AxiosError, type AxiosResponse } from "axios";
import { AccountsApi, Configuration, type FieldErrors, PatientsApi } from "./generated/index";
import { baseUrl, newPatient, nextPage, password } from "./shared";

const email = "typescript-axios@example.org";
const accounts = new AccountsApi(new Configuration({ basePath: baseUrl }));
await accounts.register({ name: "TypeScript", email, password });
const { data: grant } = (await accounts.login({ email, password })).data;
const patients = new PatientsApi(new Configuration({ basePath: baseUrl, accessToken: grant.token }));

const ids: number[] = [];
let etag = "";
for (let count = 0; count < 5; count += 1) {
  const created = await patients.createPatient(newPatient);
  etag = String(created.headers["etag"]);
  ids.push(created.data.data.id);
}
const seen: number[] = [];
for (let after: number | undefined = 0; after !== undefined; ) {
  const page = await patients.listPatients(2, after || undefined);
  seen.push(...page.data.data.map((patient) => patient.id));
  after = nextPage(page.headers["link"] as string | undefined);
}
assert.deepEqual(seen, ids);

const id = ids[4] ?? 0;
const changed = await patients.patchPatient(id, { phone: "+49 30 1234567" }, etag);
assert.equal(changed.data.data.phone, "+49 30 1234567");

/** The refusal of a request. */
const refusal = async <Body>(answer: Promise<unknown>): Promise<AxiosResponse<Body>> => {
  const error: unknown = await answer.then(() => undefined, (error: unknown) => error);
  assert(error instanceof AxiosError && error.response, "a refusal");
  return error.response as AxiosResponse<Body>;
};
assert.equal((await refusal(patients.patchPatient(id, { phone: null }, etag))).status, 412);
const refused = await refusal<FieldErrors>(patients.createPatient({ ...newPatient, phone: "12" }));
assert.equal(refused.status, 400);
assert.deepEqual(refused.data.data.errors.map((error) => error.field), ["phone"]);
assert.equal((await refusal(patients.findPatient(999_999))).status, 404);
