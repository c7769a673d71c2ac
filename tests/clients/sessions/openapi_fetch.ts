// The session of the README through openapi-fetch with the types of openapi-typescript: register, log in, a patient, a doctor, a
// mapping, all pages, what others may not see, and an admin's list.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api";
import { adminToken, baseUrl, newPatient, nextPage, password } from "./shared";

type Patient = components["schemas"]["Patient"];

const email = "typed@example.org";

// A list may be CSV as well: the client says that it reads JSON.
const anyone = createClient<paths, "application/json">({ baseUrl });
const as = (token: string) => createClient<paths, "application/json">({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const registered = await anyone.POST("/api/auth/register", { body: { name: "Typed", email, password } });
assert.equal(registered.response.status, 201);
const login = await anyone.POST("/api/auth/login", { body: { email, password } });
assert(login.data, "a login");
const ann = as(login.data.data.token);

const created = await ann.POST("/api/patients", { body: newPatient });
assert(created.data, "a patient");
const patient: Patient = created.data.data;
assert.equal(patient.phone, null);

// What was read goes back as it is, with one field changed; the version keeps two writers apart.
const etag = created.response.headers.get("ETag") ?? "";
const path = { id: patient.id };
const changed = await ann.PUT("/api/patients/{id}", { params: { path, header: { "If-Match": etag } }, body: { ...patient, phone: "+49 30 1234567" } });
assert.equal(changed.data?.data.phone, "+49 30 1234567");
const late = await ann.PATCH("/api/patients/{id}", { params: { path, header: { "If-Match": etag } }, body: { phone: null } });
assert.equal(late.response.status, 412);

const doctor = await ann.POST("/api/doctors", { body: { name: "Dr. Mensah", specialization: "Cardiology" } });
assert(doctor.data, "a doctor");
const mapping = await ann.POST("/api/mappings", { body: { patient_id: patient.id, doctor_id: doctor.data.data.id } });
assert.equal(mapping.data?.data.doctor.name, "Dr. Mensah");
const list = await ann.GET("/api/patients", { params: { query: { name: "zoë", limit: 10 } } });
assert.deepEqual(list.data?.data.map((one) => one.id), [patient.id]);

const ids = [patient.id];
for (let count = 0; count < 4; count += 1) {
  const another = await ann.POST("/api/patients", { body: newPatient });
  assert(another.data, "a patient");
  ids.push(another.data.data.id);
}
const seen: number[] = [];
for (let after: number | undefined = 0; after !== undefined; ) {
  const page = await ann.GET("/api/patients", { params: { query: { limit: 2, ...(after ? { after } : {}) } } });
  assert(page.data, "a page");
  seen.push(...page.data.data.map((one) => one.id));
  after = nextPage(page.response.headers.get("Link"));
}
assert.deepEqual(seen, ids);
assert.equal((await ann.GET("/api/patients/{id}", { params: { path: { id: 999_999 } } })).error?.status, "failed");

// A refusal names every field.
const refused = await ann.POST("/api/patients", { body: { name: " ", date_of_birth: "soon", gender: "unknown" } });
assert(refused.error?.status === "incomplete", "a refusal");
assert.deepEqual(refused.error.data.errors.map((error) => error.field), ["name", "date_of_birth"]);

assert.equal((await ann.GET("/api/admin/patients")).response.status, 403);
const everyone = await as(adminToken).GET("/api/admin/patients", { params: { query: { created_by: patient.created_by } } });
assert.equal(everyone.data?.data[0]?.name, "Zoë Müller");
assert.equal((await ann.DELETE("/api/patients/{id}", { params: { path } })).data?.status, "deleted");
assert.equal((await ann.POST("/api/auth/logout")).data?.status, "success");
assert.equal((await ann.GET("/api/auth/me")).error?.status, "forbidden");
