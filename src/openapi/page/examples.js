
// A request in three languages. `TOKEN` stands in for the token, so that nobody copies a real one by accident.

const LANGUAGES = { curl: asCurl, fetch: asFetch, Python: asPython };

/** Whether a text is JSON whose numbers survive being parsed. */
function isExact(text) {
  try { JSON.parse(text); } catch { return false; }
  return !/\d{16}/.test(text);
}

const pair = (entry) => entry.map((text) => JSON.stringify(text)).join(": ");
const indented = (text) => text.trim().replaceAll("\n", "\n  ");

function asCurl(call) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const lines = [`curl -i${call.method === "GET" ? "" : ` -X ${call.method}`} ${quoted(location.origin + call.target)}`];
  if (call.isSigned) lines.push(`-H "Authorization: Bearer $TOKEN"`);
  for (const [name, value] of Object.entries(call.headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (call.body) lines.push(`-d ${quoted(call.body)}`);
  return lines.join(" \\\n  ");
}

function asFetch(call) {
  const headers = Object.entries(call.headers).map(pair);
  if (call.isSigned) headers.unshift("Authorization: `Bearer ${TOKEN}`");
  const lines = [`  method: "${call.method}",`];
  if (headers.length) lines.push(`  headers: { ${headers.join(", ")} },`);
  if (call.body) lines.push(`  body: ${isExact(call.body) ? `JSON.stringify(${indented(call.body)})` : JSON.stringify(call.body)},`);
  return `const answer = await fetch("${location.origin}${call.target}", {\n${lines.join("\n")}\n});\nconsole.log(answer.status, await answer.text());`;
}

function asPython(call) {
  const words = { true: "True", false: "False", null: "None" };
  const python = (json) => json.replace(/"(?:[^"\\]|\\.)*"|\b[a-z]+\b/g, (token) => words[token] ?? JSON.stringify(JSON.parse(token)));
  const headers = Object.entries(call.headers).filter(([name]) => name !== "Content-Type" || !isExact(call.body)).map(pair);
  if (call.isSigned) headers.unshift('"Authorization": f"Bearer {TOKEN}"');
  const lines = [`"${location.origin}${call.target}"`];
  if (headers.length) lines.push(`headers={${headers.join(", ")}}`);
  if (call.body) lines.push(isExact(call.body) ? `json=${indented(python(call.body))}` : `data=${JSON.stringify(call.body)}.encode()`);
  return `import requests\n\nanswer = requests.${call.method.toLowerCase()}(\n${lines.map((line) => `    ${line.replaceAll("\n  ", "\n    ")},\n`).join("")})\nprint(answer.status_code, answer.text)`;
}
