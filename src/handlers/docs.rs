//! The contract as a document, for programs and for people. Both are made at startup.

use crate::app::App;
use crate::envelope::Response;
use crate::error::Result;
use crate::request::Request;

/// `GET /openapi.json`: OpenAPI 3.1.
pub fn openapi(app: &App, _request: &Request) -> Result<Response> {
    Ok(Response::page("application/json", app.contract.document.clone().into_bytes()))
}

/// `GET /docs`: a page that reads the document and lets people try it.
pub fn page(app: &App, _request: &Request) -> Result<Response> {
    let page = Response::page("text/html; charset=utf-8", app.contract.page.into());
    Ok(page
        .with_header("Content-Security-Policy", app.contract.page_policy.clone())
        .with_header("Referrer-Policy", "no-referrer"))
}

/// `GET /`: somebody who typed the address of the server in a browser is led to the page.
pub fn home(_app: &App, _request: &Request) -> Result<Response> {
    Ok(Response::empty(303).with_header("Location", "/docs"))
}
