// The audit trail of reads, as the product keeps it: a bounded buffer, written in batches of 1,000 or after half a second.
import { statement } from './sql.js';

const CAPACITY = 8_000;
const BATCH = 1_000;
const GATHER_MS = 500;
const record = statement('audit', 'record');

export function createTrail(pool) {
  let entries = [];
  let timer = null;
  let writing = null;

  async function writeAll() {
    while (entries.length > 0) {
      const batch = entries.slice(0, BATCH);
      const column = (value) => batch.map(value);
      const values = [
        column((entry) => entry.at), column((entry) => entry.actorId), column((entry) => entry.action),
        column(() => 'patient'), column((entry) => entry.id), column((entry) => entry.ids),
        column(() => 'success'), column((entry) => entry.ip), column((entry) => entry.requestId),
      ];
      try {
        await pool.query({ ...record, values });
        entries = entries.slice(batch.length);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
      }
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
      at: new Date().toISOString(), actorId: request.userId, action, id,
      ids: ids && `{${ids.join(',')}}`, ip: request.ip, requestId: request.id,
    });
    if (entries.length >= BATCH) flush();
    else if (!writing) timer ??= setTimeout(flush, GATHER_MS);
  }

  return {
    read: (request, id) => add(request, 'read', id, null),
    list: (request, ids) => add(request, 'list', null, ids),
  };
}
