// The audit trail of reads, as the product keeps it: a bounded buffer, written in batches of 1,000 or after half a second, those of a
// kind in one row.
import { statement } from './sql.js';

const CAPACITY = 8_000;
const BATCH = 1_000;
const GATHER_MS = 500;
const record = statement('sql/audit', 'record');

export function createTrail(pool) {
  let entries = [];
  let timer = null;
  let writing = null;

  // One row for entries of one kind: an array a column.
  async function write(action, batch) {
    const column = (value) => batch.map(value);
    const recordIds = new Set(batch.flatMap((entry) => entry.ids ?? [entry.id]));
    const values = [
      action, 'patient', column((entry) => entry.at), column((entry) => entry.actorId), column((entry) => entry.id),
      column((entry) => entry.ids && `{${entry.ids.join(',')}}`), column((entry) => entry.ip),
      column((entry) => entry.requestId), [...recordIds].sort((one, other) => one - other),
    ];
    await pool.query({ ...record, values });
  }

  async function writeAll() {
    while (entries.length > 0) {
      let left = entries.slice(0, BATCH);
      const count = left.length;
      while (left.length > 0) {
        const { action } = left[0];
        try {
          await write(action, left.filter((entry) => entry.action === action));
          left = left.filter((entry) => entry.action !== action);
        } catch {
          await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
        }
      }
      entries = entries.slice(count);
      if (entries.length < BATCH) break;
    }
    writing = null;
    if (entries.length > 0) timer ??= setTimeout(flush, GATHER_MS);
  }

  function flush() {
    clearTimeout(timer);
    timer = null;
    writing ??= writeAll();
  }

  async function add(request, action, id, ids) {
    while (entries.length >= CAPACITY) await writing;
    entries.push({
      at: new Date().toISOString(), actorId: request.userId, action, id, ids, ip: request.ip, requestId: request.id,
    });
    if (entries.length >= BATCH) flush();
    else if (!writing) timer ??= setTimeout(flush, GATHER_MS);
  }

  return {
    read: (request, id) => add(request, 'read', id, null),
    list: (request, ids) => add(request, 'list', null, ids),
  };
}
