//! `POST /api/auth/login`: the password, then a token. Nothing is counted, and no session is kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::App;
use crate::access::TOKEN_SECONDS;
use crate::answer::{self, Problem, RequestId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    email: String,
    password: String,
}

#[derive(Serialize)]
struct Grant {
    token: String,
    token_type: &'static str,
    expires_in: i64,
    user: User,
}

#[derive(Serialize)]
struct User {
    id: i64,
    name: String,
    email: String,
}

pub async fn login(
    State(app): State<Arc<App>>,
    id: RequestId,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Response {
    let granted = async {
        let Json(Credentials { email, password }) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
        let row = {
            let client = app.client().await?;
            let statement = client.prepare_typed_cached(&app.statements.login, &[Type::TEXT]).await?;
            client.query_opt(&statement, &[&email.trim().to_lowercase()]).await?.ok_or(Problem::WrongPassword)?
        };
        let hash: String = row.get("password_hash");
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash)).await??;
        if !right {
            return Err(Problem::WrongPassword);
        }
        let user = User { id: row.get("id"), name: row.get("name"), email: row.get("email") };
        let token = app.access.sign(user.id)?;
        Ok(Grant { token, token_type: "Bearer", expires_in: TOKEN_SECONDS, user })
    };
    match granted.await {
        Ok(grant) => answer::success(&id, "Logged in", grant),
        Err(problem) => problem.answer(&id),
    }
}
