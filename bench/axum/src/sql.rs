//! The statements, read at build time: those of peers from `peers.sql`, those of sessions and the trail the product's own.

/// The statements that the measured routes send.
pub struct Statements {
    pub create: String,
    pub list: String,
    pub find: String,
    pub login: String,
    pub session: String,
    pub record: String,
}

impl Statements {
    pub fn load() -> Statements {
        let peers = include_str!("../../peers.sql");
        let sessions = include_str!("../../../sql/sessions.sql");
        let audit = include_str!("../../../sql/audit.sql");
        Statements {
            create: named(peers, "create"),
            list: named(peers, "list"),
            find: named(peers, "find"),
            login: named(peers, "login"),
            session: named(sessions, "state"),
            record: named(audit, "record"),
        }
    }
}

/// The statement under `-- name: NAME(`, up to its semicolon.
fn named(file: &str, name: &str) -> String {
    let start = format!("-- name: {name}(");
    let lines = file.lines().skip_while(|line| !line.starts_with(&start));
    let lines = lines.skip(1).filter(|line| !line.starts_with("--"));
    let text: Vec<&str> = lines.collect();
    let text = text.join("\n");
    let end = text.find(';').unwrap_or_else(|| panic!("the statement {name} is missing"));
    text[..end].trim().to_string()
}
