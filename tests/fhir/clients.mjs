// Three clients from npm as they come, fhir-kit-client, fhirclient and MedplumClient, with what they offer for reading.

import { check, finish } from "./checks.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { MedplumClient } from "@medplum/core";
import { Client } from "fhir-kit-client";
import smart from "fhirclient";

const origin = process.env.BASE_URL;
const base = `${origin}/fhir/R4`;
const { token, patients, doctors } = JSON.parse(readFileSync(process.env.RECORDS, "utf8"));
const patient = String(patients[0].id);
const men = patients.filter((one) => one.gender === "male").map((one) => String(one.id)).sort();
const old = patients.filter((one) => one.date_of_birth < "1950").map((one) => String(one.id)).sort();
const ids = (resources) => resources.map((one) => one.id).sort();
const resources = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource);
const kinds = (bundle) => [...new Set(resources(bundle).map((one) => one.resourceType))].sort();

/** Whether an error of a client is this refusal: the status, or the code where the client shows no status. */
const refusal = (expected) => (error) => [error.response?.status, error.statusCode, error.outcome?.issue[0].code].includes(expected);

const kit = new Client({ baseUrl: base, bearerToken: token });

await check("fhir-kit-client reads", async () => {
  assert.equal((await kit.capabilityStatement()).fhirVersion, "4.0.1");
  const read = await kit.read({ resourceType: "Patient", id: patient });
  assert.equal(read.birthDate, patients[0].date_of_birth);
  assert.equal(Client.httpFor(read).response.headers.get("etag"), 'W/"1"');
  const team = await kit.read({ resourceType: "CareTeam", id: patient });
  assert.deepEqual(await kit.resolve({ reference: team.subject.reference }), read);
  const everything = await kit.operation({ name: "everything", resourceType: "Patient", id: patient, method: "GET" });
  assert.deepEqual(resources(everything)[0], read);
  assert.deepEqual(await kit.operation({ name: "$everything", resourceType: "Patient", id: patient }), everything);
  const input = { resourceType: "Parameters", parameter: [{ name: "_type", valueCode: "CareTeam" }] };
  assert.deepEqual(kinds(await kit.operation({ name: "$everything", resourceType: "Patient", id: patient, input })), ["CareTeam"]);
  await assert.rejects(kit.read({ resourceType: "Patient", id: "999999999" }), refusal(404));
  await assert.rejects(new Client({ baseUrl: base }).read({ resourceType: "Patient", id: patient }), refusal(401));
  // There is no SMART launch here, and the client learns it at once.
  assert.equal((await kit.smartAuthMetadata()).authorizeUrl, undefined);
});

await check("fhir-kit-client reads versions", async () => {
  const read = await kit.read({ resourceType: "Patient", id: patient });
  assert.deepEqual(await kit.vread({ resourceType: "Patient", id: patient, version: "1" }), read);
  const history = await kit.history({ resourceType: "Patient", id: patient });
  assert.deepEqual(resources(history), [read]);
});

await check("fhir-kit-client searches", async () => {
  for (const options of [{}, { postSearch: true }]) {
    const found = [];
    let page = await kit.search({ resourceType: "Patient", searchParams: { gender: "male", _count: 20 }, options });
    for (; page; page = await kit.nextPage({ bundle: page })) {
      found.push(...resources(page));
    }
    assert.deepEqual(ids(found), men);
  }
  const early = await kit.search({ resourceType: "Patient", searchParams: { birthdate: ["lt1950", "ge1000"], _count: 500 } });
  assert.deepEqual(ids(resources(early)), old);
  assert.equal(kit.prevPage({ bundle: early }), undefined);
  const included = await kit.search({ resourceType: "CareTeam", searchParams: { patient: `Patient/${patient}`, _include: ["CareTeam:participant", "CareTeam:patient"] } });
  assert.deepEqual(kinds(included), ["CareTeam", "Patient", "Practitioner"]);
  const compartment = await kit.search({ resourceType: "CareTeam", compartment: { resourceType: "Patient", id: patient } });
  assert.deepEqual(ids(resources(compartment)), [patient]);
  await assert.rejects(kit.search({ resourceType: "Patient", searchParams: { nmae: "x" } }), refusal(400));
});

// As in a server that has the token and the patient already: no launch.
const api = smart({ headers: {} }, {}, {}).client({ serverUrl: base, tokenResponse: { access_token: token, patient } });

await check("fhirclient (JavaScript) reads", async () => {
  assert.equal(await api.getFhirVersion(), "4.0.1");
  assert.equal(await api.getFhirRelease(), 4);
  const read = await api.patient.read();
  assert.equal(read.birthDate, patients[0].date_of_birth);
  assert.deepEqual(resources(await api.request(`Patient/${patient}/$everything`))[0], read);
  const team = await api.request(`CareTeam/${patient}`, { resolveReferences: ["subject", "participant.0.member"] });
  assert.deepEqual(team.subject, read);
  assert.equal(team.participant[0].member.resourceType, "Practitioner");
  const references = await api.getReferences(await api.request(`CareTeam/${patient}`), ["subject"]);
  assert.deepEqual(references[`Patient/${patient}`], read);
  await assert.rejects(api.request("Patient/999999999"), refusal(404));
});

await check("fhirclient (JavaScript) reads versions", async () => {
  const read = await api.patient.read();
  assert.deepEqual(await api.request(`Patient/${patient}/_history/1`), read);
  assert.deepEqual(resources(await api.request(`Patient/${patient}/_history`)), [read]);
});

await check("fhirclient (JavaScript) searches", async () => {
  assert.deepEqual(ids(await api.request("Patient?gender=male&_count=20", { pageLimit: 0, flat: true })), men);
  const found = [];
  for await (const one of api.resources("Patient?birthdate=lt1950&_count=20")) {
    found.push(one);
  }
  assert.deepEqual(ids(found), old);
  // The client finds the parameter for the patient in the CapabilityStatement.
  for (const kind of ["CareTeam", "Patient"]) {
    assert.deepEqual(ids(await api.patient.request(kind, { flat: true })), [patient]);
  }
  await api.patient.request("DocumentReference", { flat: true });
  const posted = await api.request({ url: "Patient/_search", method: "POST", body: "gender=male&_count=500", headers: { "content-type": "application/x-www-form-urlencoded" } });
  assert.deepEqual(ids(resources(posted)), men);
});

const medplum = new MedplumClient({ baseUrl: `${origin}/`, accessToken: token });

await check("MedplumClient reads", async () => {
  const read = await medplum.readResource("Patient", patient);
  assert.equal(read.birthDate, patients[0].date_of_birth);
  assert.deepEqual(await medplum.readReference({ reference: `Patient/${patient}` }), read);
  assert.deepEqual(resources(await medplum.readPatientEverything(patient))[0], read);
  await assert.rejects(medplum.readResource("Patient", "999999999"), refusal("not-found"));
});

await check("MedplumClient reads versions", async () => {
  const read = await medplum.readResource("Patient", patient);
  assert.deepEqual(await medplum.readVersion("Patient", patient, "1"), read);
  assert.deepEqual(resources(await medplum.readHistory("Patient", patient)), [read]);
});

await check("MedplumClient searches", async () => {
  assert.deepEqual(ids(await medplum.searchResources("Patient", { gender: "male", _count: 500 })), men);
  assert.equal((await medplum.searchOne("Patient", `_id=${patient}`)).id, patient);
  const pages = [];
  for await (const page of medplum.searchResourcePages("Patient", "gender=male&_count=20")) {
    pages.push(...page);
  }
  assert.deepEqual(ids(pages), men);
  const bundle = await medplum.search("CareTeam", { patient: `Patient/${patient}`, _include: "CareTeam:participant" });
  assert.deepEqual(kinds(bundle), ["CareTeam", "Practitioner"]);
  const count = await medplum.search("Patient", { gender: "male", _summary: "count" });
  assert.equal(count.total, men.length);
  const posted = await medplum.post(medplum.fhirUrl("Patient", "_search"), new URLSearchParams({ gender: "male", _count: "500" }).toString(), "application/x-www-form-urlencoded");
  assert.deepEqual(ids(resources(posted)), men);
  await assert.rejects(medplum.search("Patient", { nmae: "x" }), refusal("not-supported"));
});

finish();
