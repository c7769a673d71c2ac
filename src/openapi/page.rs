//! The `/docs` page: one self-contained file that reads `/openapi.json` in the browser.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The whole page, including its style and its script. The parts of the script share one scope.
const SOURCE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n",
    include_str!("page/elements.js"),
    include_str!("page/document.js"),
    include_str!("page/examples.js"),
    include_str!("page/session.js"),
    include_str!("page/qr.js"),
    include_str!("page/history.js"),
    include_str!("page/operation.js"),
    include_str!("page/navigation.js"),
    include_str!("page/start.js"),
    "</script>\n</body>\n</html>\n",
);

/// The page as it is sent: without blank lines, and without the lines that are comments, which are for readers of the source.
pub static PAGE: LazyLock<String> = LazyLock::new(|| {
    let is_sent = |line: &&str| !line.is_empty() && !line.trim_start().starts_with("//") && !line.starts_with("/*");
    SOURCE.lines().filter(is_sent).flat_map(|line| [line, "\n"]).collect()
});

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
    let missing = || format!("the page has no <{element}>");
    let (_, from) = PAGE.split_once(&format!("<{element}>")).ok_or_else(missing)?;
    let (text, _) = from.split_once(&format!("</{element}>")).ok_or_else(missing)?;
    Ok(format!("sha256-{}", STANDARD.encode(Sha256::digest(text))))
}
