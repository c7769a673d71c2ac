// Fits the document in OpenAPI 3.0 to progenitor, which takes one type of error for each operation: `Failure`, whose data can then be
// that of any refusal.
//
//   healthcare-backend openapi --version 3.0 | node tests/clients/for_progenitor.mjs >openapi-3.0.json

import { readFileSync } from "node:fs";

const api = JSON.parse(readFileSync(0, "utf8"));
for (const operation of Object.values(api.paths).flatMap(Object.values)) {
  const { default: refused, ...named } = operation.responses;
  const succeeding = Object.entries(named).filter(([status]) => status < "400");
  operation.responses = { ...Object.fromEntries(succeeding), "4XX": refused, "5XX": refused };
}
api.components.schemas.Failure.properties.data = { type: "object", nullable: true, additionalProperties: true };
console.log(JSON.stringify(api));
