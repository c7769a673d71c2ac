//! Who asks: the token, then the state of its session, which is remembered for a minute.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::App;
use crate::answer::{Problem, RequestId};

const FRESH_FOR: Duration = Duration::from_secs(60);
/// How long a token is good.
pub const TOKEN_SECONDS: i64 = 3600;
const IDLE_SECONDS: i32 = 7 * 24 * 60 * 60;

/// Checks tokens and remembers sessions.
pub struct Access {
    key: DecodingKey,
    signing_key: EncodingKey,
    validation: Validation,
    sessions: RwLock<HashMap<i64, State>>,
}

#[derive(Clone, Copy)]
struct State {
    user_id: i64,
    expires_at: i64,
    loaded_at: Instant,
}

#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    sid: i64,
    iat: i64,
    exp: i64,
}

/// Someone whose token and session are good, and the request that this is about.
pub struct Caller {
    pub user_id: i64,
    pub session_id: i64,
    pub address: IpAddr,
    pub request_id: RequestId,
}

impl Access {
    pub fn new(secret: &str) -> Access {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&["healthcare-backend"]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        let (key, signing_key) = (DecodingKey::from_secret(secret.as_bytes()), EncodingKey::from_secret(secret.as_bytes()));
        Access { key, signing_key, validation, sessions: RwLock::default() }
    }

    /// A token of no session.
    pub fn sign(&self, user_id: i64) -> Result<String, Problem> {
        let iat = Timestamp::now().as_second();
        let (iss, sub, exp) = ("healthcare-backend".to_string(), user_id.to_string(), iat + TOKEN_SECONDS);
        Ok(encode(&Header::new(Algorithm::HS256), &Claims { iss, sub, sid: 0, iat, exp }, &self.signing_key)?)
    }

    fn verify(&self, token: &str) -> Option<(i64, i64)> {
        let claims = decode::<Claims>(token, &self.key, &self.validation).ok()?.claims;
        let believable = claims.exp > Timestamp::now().as_second() && claims.iat < claims.exp;
        believable.then_some((claims.sub.parse().ok()?, claims.sid))
    }

    fn remembered(&self, session_id: i64) -> Option<State> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let state = *sessions.get(&session_id)?;
        let live = state.loaded_at.elapsed() < FRESH_FOR && Timestamp::now().as_second() < state.expires_at;
        live.then_some(state)
    }

    async fn state(&self, app: &App, session_id: i64) -> Result<Option<State>, Problem> {
        if let Some(state) = self.remembered(session_id) {
            return Ok(Some(state));
        }
        let client = app.client().await?;
        let statement = client.prepare_typed_cached(&app.statements.session, &[Type::INT8, Type::INT4]).await?;
        let Some(row) = client.query_opt(&statement, &[&session_id, &IDLE_SECONDS]).await? else { return Ok(None) };
        let expires_at: Timestamp = row.get("expires_at");
        let state =
            State { user_id: row.get("user_id"), expires_at: expires_at.as_second(), loaded_at: Instant::now() };
        self.sessions.write().unwrap_or_else(PoisonError::into_inner).insert(session_id, state);
        Ok(Some(state))
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Response> {
        let Ok(request_id) = RequestId::from_request_parts(parts, app).await;
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        match user_and_session(parts, app).await {
            Ok((user_id, session_id)) => Ok(Caller { user_id, session_id, address, request_id }),
            Err(problem) => Err(problem.answer(&request_id)),
        }
    }
}

async fn user_and_session(parts: &Parts, app: &App) -> Result<(i64, i64), Problem> {
    let value = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|value| value.split_once(' ')).ok_or(Problem::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::Unauthenticated);
    }
    let (user_id, session_id) = app.access.verify(token.trim()).ok_or(Problem::Unauthenticated)?;
    let state = app.access.state(app, session_id).await?.ok_or(Problem::Unauthenticated)?;
    if state.user_id == user_id { Ok((user_id, session_id)) } else { Err(Problem::Unauthenticated) }
}
