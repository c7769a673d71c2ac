//! The three measured routes of a patient: create, list, find.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::{Json as Jsonb, Type};

use crate::App;
use crate::access::Caller;
use crate::answer::{self, FieldError, Problem};

#[derive(Serialize)]
struct Patient {
    id: i64,
    name: String,
    date_of_birth: Date,
    gender: String,
    phone: Option<String>,
    email: Option<String>,
    address: Option<String>,
    medical_history: Option<String>,
    created_by: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

impl Patient {
    fn from_row(row: &Row) -> Patient {
        Patient {
            id: row.get("id"),
            name: row.get("name"),
            date_of_birth: row.get("date_of_birth"),
            gender: row.get("gender"),
            phone: row.get("phone"),
            email: row.get("email"),
            address: row.get("address"),
            medical_history: row.get("medical_history"),
            created_by: row.get("created_by"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            version: row.get("version"),
        }
    }
}

/// What a client sends; types and unknown fields are serde's business.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewPatient {
    name: String,
    date_of_birth: Date,
    gender: Gender,
    phone: Option<String>,
    email: Option<String>,
    address: Option<String>,
    medical_history: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Gender {
    Male,
    Female,
    Other,
    Unknown,
}

impl NewPatient {
    /// Trims, and checks what the types do not.
    fn checked(mut self) -> Result<NewPatient, Problem> {
        let mut errors = Vec::new();
        self.name = self.name.trim().to_string();
        if self.name.is_empty() {
            errors.push(FieldError { field: "name".into(), message: "is required".into() });
        }
        check("name", Some(&self.name), 200, false, &mut errors);
        let optional: [(&str, &mut Option<String>, usize, bool); 4] = [
            ("phone", &mut self.phone, 32, false),
            ("email", &mut self.email, 254, false),
            ("address", &mut self.address, 500, true),
            ("medical_history", &mut self.medical_history, 20_000, true),
        ];
        for (field, value, most, lines) in optional {
            *value = value.take().map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
            check(field, value.as_deref(), most, lines, &mut errors);
        }
        if self.email.as_ref().is_some_and(|email| !email.contains('@')) {
            errors.push(FieldError { field: "email".into(), message: "must be an e-mail address".into() });
        }
        if errors.is_empty() { Ok(self) } else { Err(Problem::Invalid(errors)) }
    }
}

fn check(field: &str, value: Option<&str>, most: usize, lines: bool, errors: &mut Vec<FieldError>) {
    let text = value.unwrap_or_default();
    let refused = |character: char| character.is_control() && !(lines && matches!(character, '\n' | '\r' | '\t'));
    if text.chars().count() > most || text.chars().any(refused) {
        errors.push(FieldError { field: field.into(), message: format!("must be {most} plain characters at most") });
    }
}

/// The query parameters of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    #[serde(default = "hundred")]
    limit: i64,
    after: Option<i64>,
}

fn hundred() -> i64 {
    100
}

/// `POST /api/patients`
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Result<Json<NewPatient>, JsonRejection>,
) -> Response {
    let created = async {
        let Json(body) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
        let fields = Jsonb(body.checked()?);
        let client = app.client().await?;
        let statement = client.prepare_typed_cached(&app.statements.create, &[Type::JSONB, Type::INT8]).await?;
        Ok::<_, Problem>(Patient::from_row(&client.query_one(&statement, &[&fields, &caller.user_id]).await?))
    };
    match created.await {
        Ok(patient) => {
            let location = format!("/api/patients/{}", patient.id);
            let response = answer::created(&caller.request_id, "Patient created", &location, &patient);
            answer::with_etag(response, patient.version)
        }
        Err(problem) => problem.answer(&caller.request_id),
    }
}

/// `GET /api/patients`
pub async fn list(State(app): State<Arc<App>>, caller: Caller, page: Result<Query<Page>, QueryRejection>) -> Response {
    let listed = async {
        let Query(page) = page.map_err(|error| Problem::invalid("query", &error.body_text()))?;
        if !(1..=500).contains(&page.limit) {
            return Err(Problem::invalid("limit", "must be a whole number from 1 to 500"));
        }
        let (after, rows_wanted) = (page.after.unwrap_or(0), page.limit + 1);
        let rows = {
            let client = app.client().await?;
            let types = [Type::INT8, Type::INT8, Type::INT8];
            let statement = client.prepare_typed_cached(&app.statements.list, &types).await?;
            client.query(&statement, &[&caller.user_id, &after, &rows_wanted]).await?
        };
        let mut patients: Vec<Patient> = rows.iter().map(Patient::from_row).collect();
        let limit = usize::try_from(page.limit)?;
        let more = patients.len() > limit;
        patients.truncate(limit);
        let last = patients.last().filter(|_| more);
        let next = last.map(|last| format!("</api/patients?limit={}&after={}>; rel=\"next\"", page.limit, last.id));
        if let Some(trail) = &app.trail {
            trail.list(&caller, patients.iter().map(|patient| patient.id).collect()).await;
        }
        Ok((patients, next))
    };
    match listed.await {
        Ok((patients, next)) => {
            answer::with_next(answer::success(&caller.request_id, "Patients found", &patients), next)
        }
        Err(problem) => problem.answer(&caller.request_id),
    }
}

/// `GET /api/patients/{id}`
pub async fn find(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    id: Result<Path<i64>, PathRejection>,
) -> Response {
    let found = async {
        let id = id.ok().map(|Path(id)| id).filter(|id| *id > 0);
        let id = id.ok_or_else(|| Problem::invalid("id", "must be a positive 64-bit integer in plain digits"))?;
        let row = {
            let client = app.client().await?;
            let statement = client.prepare_typed_cached(&app.statements.find, &[Type::INT8, Type::INT8]).await?;
            client.query_opt(&statement, &[&id, &caller.user_id]).await?
        };
        let patient = Patient::from_row(&row.ok_or(Problem::NotFound)?);
        if let Some(trail) = &app.trail {
            trail.read(&caller, id).await;
        }
        Ok::<_, Problem>(patient)
    };
    match found.await {
        Ok(patient) => {
            let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
            let response = match known {
                Some(tags) if tags.contains(&format!("\"{}\"", patient.version)) => {
                    answer::not_modified(&caller.request_id)
                }
                _ => answer::success(&caller.request_id, "Patient found", &patient),
            };
            answer::with_etag(response, patient.version)
        }
        Err(problem) => problem.answer(&caller.request_id),
    }
}
