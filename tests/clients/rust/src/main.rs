//! A session through the client that progenitor makes of the document in OpenAPI 3.0.

use std::num::NonZeroU64;

use chrono::NaiveDate;
use clinic::types::{Failure, Login, PatientChanges, PatientInput, Registration};
use clinic::{Client, Error, ResponseValue};

mod clinic {
    progenitor::generate_api!("openapi-3.0.json");
}

/// The refusal of a request, which has this status.
fn refusal<T: std::fmt::Debug>(answer: Result<ResponseValue<T>, Error<Failure>>, status: u16) -> Failure {
    match answer {
        Err(Error::ErrorResponse(refused)) if refused.status() == status => refused.into_inner(),
        other => panic!("not refused with {status}: {other:?}"),
    }
}

/// Where the next page begins, as the `Link` header says.
fn next_page<T>(page: &ResponseValue<T>) -> Option<NonZeroU64> {
    let link = page.headers().get("link")?.to_str().ok()?;
    let (_, after) = link.split_once("after=")?;
    after.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn new_patient(phone: Option<&str>) -> Result<PatientInput, Box<dyn std::error::Error>> {
    Ok(serde_json::from_value(serde_json::json!({
        "name": "Zoë Müller", "date_of_birth": "1990-04-23", "gender": "female", "phone": phone,
    }))?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base_url = std::env::var("BASE_URL")?;
    let (email, password) = ("rust@example.org", "correct horse battery");
    let anyone = Client::new(&base_url);
    let registration = Registration { name: "Rust".parse()?, email: email.parse()?, password: password.parse()? };
    anyone.register(&registration).await?;
    let login = Login { email: email.parse()?, password: password.parse()?, code: None };
    let grant = anyone.login(&login).await?.into_inner().data;
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {}", grant.token).parse()?);
    let ann = Client::new_with_client(&base_url, reqwest::Client::builder().default_headers(headers).build()?);

    let (mut ids, mut seen, mut etag) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..5 {
        let created = ann.create_patient(None, &new_patient(None)?).await?;
        etag = created.headers()["etag"].to_str()?.to_string();
        ids.push(created.into_inner().data.id);
    }
    let mut after = None;
    loop {
        let page = ann.list_patients(after, None, None, None, None, None, None, NonZeroU64::new(2), None, None, None).await?;
        after = next_page(&page);
        seen.extend(page.into_inner().data.into_iter().map(|patient| patient.id));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);

    let changes: PatientChanges = serde_json::from_value(serde_json::json!({ "phone": "+49 30 1234567" }))?;
    let version = etag.parse()?;
    let changed = ann.patch_patient(ids[4], Some(&version), &changes).await?.into_inner().data;
    assert_eq!(changed.phone.as_deref().map(String::as_str), Some("+49 30 1234567"));
    refusal(ann.patch_patient(ids[4], Some(&version), &changes).await, 412);
    // The client checks patterns and lengths by itself; only the service knows which days are to come.
    let mut unborn = new_patient(None)?;
    unborn.date_of_birth = NaiveDate::from_ymd_opt(2900, 1, 1).expect("a day");
    let refused = refusal(ann.create_patient(None, &unborn).await, 400);
    assert_eq!(refused.data.expect("errors")["errors"][0]["field"], "date_of_birth");
    refusal(ann.find_patient(NonZeroU64::new(999_999).expect("an id"), None).await, 404);
    Ok(())
}
