// The same work as the product's, made of Express 5, pg and jsonwebtoken: what `make bench` compares with.
//
// One process a core (the cluster module), as is usual: a single Node process runs JavaScript on one core only.
// Environment: PGHOST, PGUSER, PGDATABASE, JWT_SECRET, PORT (0 picks one), WORKERS, DATABASE_POOL (connections of a process;
// 10 is pg's own default), AUDIT_READS. It says `listening on http://…` on standard output when it serves. It logs nothing.
import cluster from 'node:cluster';
import os from 'node:os';
import { createApp } from './app.js';

const workers = Number(process.env.WORKERS ?? os.availableParallelism());

if (cluster.isPrimary && workers > 1) {
  for (let count = 0; count < workers; count += 1) cluster.fork();
  cluster.once('listening', (_worker, address) => announce(address.port));
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGKILL');
    process.exit(0);
  });
} else {
  const app = createApp(Number(process.env.DATABASE_POOL ?? 10));
  const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', (error) => {
    if (error) throw error;
    if (cluster.isPrimary) announce(server.address().port);
  });
  // Node closes idle connections after 5 s; the product after 60.
  server.keepAliveTimeout = 60_000;
}

function announce(port) {
  console.log(`listening on http://127.0.0.1:${port}`);
}
