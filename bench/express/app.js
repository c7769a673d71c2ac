// The routes, the envelope, and the headers that every answer has.
import bcrypt from 'bcrypt';
import express from 'express';
import pg from 'pg';
import { createAccess, Problem, sign, TOKEN_SECONDS } from './access.js';
import { checkedPatient, checkedId, checkedPage } from './checks.js';
import { statement } from './sql.js';
import { createTrail } from './trail.js';

// bigint as a number, dates as the text that PostgreSQL sends, times as RFC 3339 in UTC.
pg.types.setTypeParser(20, Number);
pg.types.setTypeParser(1082, (text) => text);
pg.types.setTypeParser(1184, (text) => text.replace(' ', 'T').replace('+00', 'Z'));

const statements = {
  create: statement('bench/peers', 'create'),
  list: statement('bench/peers', 'list'),
  find: statement('bench/peers', 'find'),
  login: statement('bench/peers', 'login'),
};

export function createApp(connections) {
  const pool = new pg.Pool({
    max: connections,
    options: '-c statement_timeout=10s -c lock_timeout=5s -c timezone=UTC',
  });
  const authenticated = createAccess(pool);
  const trail = process.env.AUDIT_READS === 'on' ? createTrail(pool) : null;
  let requests = 0;

  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((request, response, next) => {
    const sent = request.get('X-Request-Id');
    request.id = sent && /^[A-Za-z0-9._-]{1,64}$/.test(sent) ? sent : `${process.pid}-${(requests++).toString(16)}`;
    response.set({
      'X-Request-Id': request.id,
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      Server: 'peer-express',
    });
    next();
  });

  app.get('/healthz', (_request, response) => {
    response.json({ status: 'success', message: 'The process answers', data: null });
  });

  // The password, then a token. Nothing is counted, and no session is kept.
  app.post('/api/auth/login', express.json({ limit: '256kb' }), async (request, response) => {
    const { email, password } = request.body;
    const { rows } = await pool.query({ ...statements.login, values: [String(email).trim().toLowerCase()] });
    if (rows.length === 0 || !(await bcrypt.compare(String(password), rows[0].password_hash))) {
      throw new Problem(401, 'invalid', 'Wrong e-mail or password');
    }
    const { password_hash, ...user } = rows[0];
    const data = { token: sign(user.id), token_type: 'Bearer', expires_in: TOKEN_SECONDS, user };
    response.json({ status: 'success', message: 'Logged in', data });
  });

  app.post('/api/patients', authenticated, express.json({ limit: '256kb' }), async (request, response) => {
    const fields = checkedPatient(request.body);
    const { rows } = await pool.query({ ...statements.create, values: [JSON.stringify(fields), request.userId] });
    const { version, ...patient } = rows[0];
    response.status(201).set({ Location: `/api/patients/${patient.id}`, ETag: `"${version}"` });
    response.json({ status: 'created', message: 'Patient created', data: patient });
  });

  app.get('/api/patients', authenticated, async (request, response) => {
    const { limit, after } = checkedPage(request.query);
    const { rows } = await pool.query({ ...statements.list, values: [request.userId, after, limit + 1] });
    const patients = rows.slice(0, limit).map(({ version, ...patient }) => patient);
    if (rows.length > limit) {
      response.set('Link', `</api/patients?limit=${limit}&after=${patients[limit - 1].id}>; rel="next"`);
    }
    if (trail) await trail.list(request, patients.map((patient) => patient.id));
    response.json({ status: 'success', message: 'Patients found', data: patients });
  });

  app.get('/api/patients/:id', authenticated, async (request, response) => {
    const id = checkedId(request.params.id);
    const { rows } = await pool.query({ ...statements.find, values: [id, request.userId] });
    if (rows.length === 0) throw new Problem(404, 'failed', 'Patient not found');
    if (trail) await trail.read(request, id);
    const { version, ...patient } = rows[0];
    response.set('ETag', `"${version}"`);
    if (request.get('If-None-Match')?.includes(`"${version}"`)) return response.status(304).end();
    response.json({ status: 'success', message: 'Patient found', data: patient });
  });

  app.use(() => {
    throw new Problem(404, 'failed', 'There is nothing at this path');
  });

  app.use((error, request, response, _next) => {
    const problem =
      error instanceof Problem ? error
      : error.status === 400 ? new Problem(400, 'invalid', 'The request is not valid')
      : new Problem(500, 'failed', `Something went wrong on our side; the request id is ${request.id}`);
    if (problem.httpStatus === 401 && problem.word === 'forbidden') response.set('WWW-Authenticate', 'Bearer');
    const { httpStatus, word, message, data } = problem;
    response.status(httpStatus).json({ status: word, message, data });
  });

  return app;
}
