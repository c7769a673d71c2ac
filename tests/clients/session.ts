// The session of the README through a generated client: register, log in, a patient, a doctor, a mapping, what others may not see,
// and an admin's list. It compiles under `strict` only while the document says what the service does.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Patient = components["schemas"]["Patient"];

const { BASE_URL: baseUrl = "", ADMIN_TOKEN: adminToken = "" } = process.env;
const email = "typed@example.org";
const password = "correct horse battery";

const anyone = createClient<paths, "application/json">({ baseUrl });
const as = (token: string) => createClient<paths, "application/json">({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const registered = await anyone.POST("/api/auth/register", { body: { name: "Typed", email, password } });
assert.equal(registered.response.status, 201);
const login = await anyone.POST("/api/auth/login", { body: { email, password } });
assert(login.data, "a login");
const ann = as(login.data.data.token);

const created = await ann.POST("/api/patients", { body: { name: "Zoë Müller", date_of_birth: "1990-04-23", gender: "female" } });
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
console.log("the generated client held a whole session");
