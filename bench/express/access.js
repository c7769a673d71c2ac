// Who asks: the token, then the state of its session, which is remembered for a minute.
import { createSecretKey } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { statement } from './sql.js';

const FRESH_FOR_MS = 60_000;
export const TOKEN_SECONDS = 3600;
const IDLE_SECONDS = 7 * 24 * 60 * 60;
const state = statement('sql/sessions', 'state');

// An answer that is not what the client asked for.
export class Problem extends Error {
  constructor(httpStatus, word, message, data = null) {
    super(message);
    Object.assign(this, { httpStatus, word, data });
  }
}

const unauthenticated = () => new Problem(401, 'forbidden', 'A valid access token is needed');

// As a key object: given text, jsonwebtoken looks for a public key in it first, each time, which takes a millisecond.
const secret = createSecretKey(Buffer.from(process.env.JWT_SECRET));

// A token of no session.
export function sign(userId) {
  return jwt.sign({ sid: 0 }, secret, { issuer: 'healthcare-backend', subject: String(userId), expiresIn: TOKEN_SECONDS });
}

export function createAccess(pool) {
  const sessions = new Map();

  async function sessionOf(id) {
    const known = sessions.get(id);
    const now = Date.now();
    if (known && now - known.loadedAt < FRESH_FOR_MS && now < known.expiresAt) return known;
    const { rows } = await pool.query({ ...state, values: [id, IDLE_SECONDS] });
    if (rows.length === 0) return null;
    const session = { userId: rows[0].user_id, expiresAt: Date.parse(rows[0].expires_at), loadedAt: now };
    sessions.set(id, session);
    return session;
  }

  return async function authenticated(request, _response, next) {
    const [, token] = /^Bearer +([^ ,]+)$/i.exec(request.get('Authorization') ?? '') ?? [];
    let claims;
    try {
      claims = jwt.verify(token, secret, { algorithms: ['HS256'], issuer: 'healthcare-backend' });
    } catch {
      throw unauthenticated();
    }
    const session = claims.exp && claims.sid ? await sessionOf(claims.sid) : null;
    if (!session || session.userId !== Number(claims.sub)) throw unauthenticated();
    request.userId = session.userId;
    request.sessionId = claims.sid;
    next();
  };
}
