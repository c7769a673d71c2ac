//! The `/docs` page: one self-contained file that reads `/openapi.json` in the browser.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The whole page, including its style and its script.
pub const PAGE: &str = include_str!("page.html");

/// The `Content-Security-Policy` under which the page runs (W3C CSP Level 3): only its own style and script, by their hashes,
/// and requests to where it came from.
pub fn policy() -> Result<String, String> {
    let (style, script) = (hash_of("style")?, hash_of("script")?);
    Ok(format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    ))
}

fn hash_of(element: &str) -> Result<String, String> {
    let missing = || format!("page.html has no <{element}>");
    let (_, from) = PAGE.split_once(&format!("<{element}>")).ok_or_else(missing)?;
    let (text, _) = from.split_once(&format!("</{element}>")).ok_or_else(missing)?;
    Ok(format!("sha256-{}", STANDARD.encode(Sha256::digest(text))))
}
