// The statements: of a patient from `bench/peers.sql`, of sessions and the trail the product's own from `sql/`.
import { readFileSync } from 'node:fs';

// The statement under `-- name: NAME(a type, …)`, as pg wants it: a name makes pg prepare it once a connection. pg cannot
// declare the parameters' types, so they stand behind the parameters, which PostgreSQL takes for the same.
export function statement(file, name) {
  const lines = readFileSync(new URL(`../../${file}.sql`, import.meta.url), 'utf8').split('\n');
  const start = lines.findIndex((line) => line.startsWith(`-- name: ${name}(`));
  if (start < 0) throw new Error(`${file}.sql has no statement ${name}`);
  const types = /\(([^)]*)\)/.exec(lines[start])[1].split(',').map((parameter) => parameter.trim().split(' ')[1]);
  const text = lines.slice(start + 1).filter((line) => !line.startsWith('--')).join('\n');
  const typed = text.slice(0, text.indexOf(';')).replace(/\$(\d+)/g, (place, number) => `${place}::${types[number - 1]}`);
  return { name: `${file}.${name}`, text: typed.trim() };
}
