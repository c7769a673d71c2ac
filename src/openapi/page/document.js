
/** The OpenAPI document. */
let api;

/** The thing itself, where this is a reference to it. */
function resolve(thing) {
  for (let steps = 0; thing?.$ref && steps < 16; steps += 1) {
    const { $ref, ...beside } = thing;
    const names = $ref.replace(/^#\//, "").split("/").map((name) => decodeURIComponent(name).replaceAll("~1", "/").replaceAll("~0", "~"));
    thing = { ...names.reduce((place, name) => place?.[name], api), ...beside };
  }
  return thing ?? {};
}

/** A schema with all of its parts in one. */
function whole(raw) {
  const schema = resolve(raw);
  if (!schema.allOf) return schema;
  const parts = [...schema.allOf.map(whole), { ...schema, allOf: undefined }];
  return { ...Object.assign({}, ...parts), properties: Object.assign({}, ...parts.map((part) => part.properties)), required: parts.flatMap((part) => part.required ?? []) };
}

/** The name of the model that a schema refers to, perhaps beside null. */
function modelOf(raw) {
  const named = [raw, ...(raw?.anyOf ?? raw?.oneOf ?? [])].find((schema) => schema?.$ref?.startsWith("#/components/schemas/"));
  return named?.$ref.split("/").pop();
}

const link = (model) => h("a", { href: `#model-${model}` }, model);

/** A schema's type and limits in a few words. Models are links. */
function kind(raw) {
  if (raw?.$ref && modelOf(raw)) return [link(modelOf(raw))];
  const schema = whole(raw);
  const choices = (schema.anyOf ?? schema.oneOf)?.filter((choice) => choice.maxLength !== 0);
  if (choices) return choices.flatMap((choice, at) => (at ? [" or ", ...kind(choice)] : kind(choice)));
  const types = [].concat(schema.type ?? []);
  const words = [];
  if (schema.enum) words.push(schema.enum.join(" | "));
  else if (schema.const !== undefined) words.push(`always ${schema.const}`);
  else if (types[0] !== "array") words.push(types.filter((type) => type !== "null" || types.length === 1).join(), schema.format === "int64" ? "" : schema.format);
  if (types.length > 1 && types.includes("null")) words.push("or null");
  if (schema.minLength > 1) words.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength) words.push(`at most ${schema.maxLength.toLocaleString("en")} characters`);
  if (schema.format !== "int64" && schema.maximum != null) words.push(`${schema.minimum ?? 0} to ${schema.maximum}`);
  if (schema.default != null) words.push(`default ${schema.default}`);
  const text = words.filter(Boolean).join(", ");
  return types[0] === "array" ? ["array of ", ...kind(schema.items), text && ` ${text}`] : [text];
}

/** The fields of a schema, those of an object within it included. */
function fields(raw, isShown = () => true) {
  const { properties = {}, required = [] } = whole(raw);
  return h("dl", {}, Object.entries(properties).filter(([, field]) => isShown(resolve(field))).map(([name, field]) => {
    const schema = whole(field);
    const about = field.description ?? (field.$ref ? "" : schema.description ?? schema.anyOf?.[0].description);
    const inner = field.$ref ? {} : schema.type === "array" && !schema.items?.$ref ? schema.items : schema;
    return h("div", {}, h("dt", { class: required.includes(name) ? "must" : "" }, name),
      h("dd", {}, kind(field), schema.readOnly ? ", read-only" : "", about ? [". ", prose(about)] : ""),
      inner?.properties ? h("dd", {}, fields(inner)) : "");
  }));
}

/** An example of a body. */
function exampleOf(media) {
  const schema = whole(media.schema);
  return media.example ?? Object.values(media.examples ?? {})[0]?.value ?? schema.examples?.[0] ?? schema.example;
}

/** Every operation of the document, with what its path says for all of its methods. */
function operationsOf() {
  const methods = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];
  return Object.entries(api.paths).flatMap(([path, item]) => Object.entries(item).filter(([method]) => methods.includes(method)).map(([method, operation]) => ({
    path, method, id: operation.operationId, tag: operation.tags[0], title: operation.summary, about: operation.description,
    isSigned: (operation.security ?? api.security ?? []).length > 0,
    parameters: [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(resolve),
    body: resolve(operation.requestBody).content?.["application/json"],
    answers: Object.entries(operation.responses).map(([status, answer]) => [status, resolve(answer)]),
  })));
}
