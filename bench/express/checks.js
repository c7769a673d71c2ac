// What a client may send.
import { Problem } from './access.js';

const READ_ONLY = ['id', 'created_by', 'created_at', 'updated_at'];
const GENDERS = ['male', 'female', 'other', 'unknown'];
const TEXTS = { name: 200, phone: 32, email: 254, address: 500, medical_history: 20_000 };
const MANY_LINES = ['address', 'medical_history'];

export function checkedPatient(body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) fail([wrong('body', 'must be a JSON object')]);
  const errors = [];
  const fields = {};
  for (const [field, value] of Object.entries(body)) {
    if (READ_ONLY.includes(field)) continue;
    const trimmed = typeof value === 'string' ? value.trim() || null : value;
    if (field in TEXTS) {
      if (trimmed !== null && !isText(trimmed, TEXTS[field], MANY_LINES.includes(field))) {
        errors.push(wrong(field, `must be ${TEXTS[field]} plain characters at most`));
      }
    } else if (field === 'gender') {
      if (!GENDERS.includes(trimmed)) errors.push(wrong(field, `must be one of ${GENDERS.join(', ')}`));
    } else if (field === 'date_of_birth') {
      if (!isDate(trimmed)) errors.push(wrong(field, 'must be a date like 1990-04-23'));
    } else {
      errors.push(wrong(field, 'is not a field of this record'));
    }
    fields[field] = trimmed;
  }
  for (const field of ['name', 'date_of_birth', 'gender']) {
    if (fields[field] == null) errors.push(wrong(field, 'is required'));
  }
  if (fields.email != null && !String(fields.email).includes('@')) {
    errors.push(wrong('email', 'must be an e-mail address'));
  }
  if (errors.length > 0) fail(errors);
  return fields;
}

export function checkedId(text) {
  if (!/^[0-9]{1,15}$/.test(text) || Number(text) === 0) fail([wrong('id', 'must be a positive integer in plain digits')]);
  return Number(text);
}

export function checkedPage({ limit = '100', after = '0', ...others }) {
  if (Object.keys(others).length > 0) fail([wrong('query', 'has an unknown parameter')]);
  if (!/^[0-9]{1,3}$/.test(limit) || limit < 1 || limit > 500) fail([wrong('limit', 'must be from 1 to 500')]);
  if (!/^[0-9]{1,15}$/.test(after)) fail([wrong('after', 'must be an id')]);
  return { limit: Number(limit), after: Number(after) };
}

function isText(value, most, lines) {
  if (typeof value !== 'string' || value.length > most) return false;
  return lines ? !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/.test(value) : !/[\u0000-\u001f\u007f-\u009f]/.test(value);
}

function isDate(value) {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(value)) return false;
  const date = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(value);
}

function wrong(field, message) {
  return { field, message };
}

function fail(errors) {
  throw new Problem(400, 'invalid', 'The request is not valid', { errors });
}
