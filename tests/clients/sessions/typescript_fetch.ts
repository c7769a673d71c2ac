// A session through the client that openapi-generator makes as `typescript-fetch`.

import assert from "node:assert/strict";
import { AccountsApi, Configuration, FieldErrorsFromJSON, PatientInputGenderEnum, PatientsApi, ResponseError } from "./generated/index";
import { baseUrl, nextPage, password } from "./shared";

const email = "typescript-fetch@example.org";
const accounts = new AccountsApi(new Configuration({ basePath: baseUrl }));
await accounts.register({ registration: { name: "TypeScript", email, password } });
const { data: grant } = await accounts.login({ login: { email, password } });
const patients = new PatientsApi(new Configuration({ basePath: baseUrl, accessToken: grant.token }));

const patientInput = { name: "Zoë Müller", dateOfBirth: new Date("1990-04-23"), gender: PatientInputGenderEnum.Female };
const ids: number[] = [];
let etag = "";
for (let count = 0; count < 5; count += 1) {
  const created = await patients.createPatientRaw({ patientInput });
  etag = created.raw.headers.get("ETag") ?? "";
  ids.push((await created.value()).data.id);
}
const seen: number[] = [];
for (let after: number | undefined = 0; after !== undefined; ) {
  const page = await patients.listPatientsRaw({ limit: 2, ...(after ? { after } : {}) });
  seen.push(...(await page.value()).data.map((patient) => patient.id));
  after = nextPage(page.raw.headers.get("Link"));
}
assert.deepEqual(seen, ids);

const id = ids[4] ?? 0;
const change = { id, ifMatch: etag, patientChanges: { phone: "+49 30 1234567" } };
assert.equal((await patients.patchPatient(change)).data.phone, "+49 30 1234567");

/** The refusal of a request. */
const refusal = async (answer: Promise<unknown>): Promise<Response> => {
  const error: unknown = await answer.then(() => undefined, (error: unknown) => error);
  assert(error instanceof ResponseError, "a refusal");
  return error.response;
};
assert.equal((await refusal(patients.patchPatient(change))).status, 412);
const refused = await refusal(patients.createPatient({ patientInput: { ...patientInput, phone: "12" } }));
assert.equal(refused.status, 400);
assert.deepEqual(FieldErrorsFromJSON(await refused.json()).data.errors.map((error) => error.field), ["phone"]);
assert.equal((await refusal(patients.findPatient({ id: 999_999 }))).status, 404);
