//! The architecture, read from the source files: who may name which crate, where a resource is found, what SQL looks like. What
//! imports what is in `tidy/circles.rs`. `tidy/documents.rs`, `limits.rs`, `shell.rs` and `way.rs` compare the README and docs/
//! with the code.

mod circles;
mod documents;
mod extending;
mod limits;
mod manifest;
mod shell;
mod statements;
mod way;

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the project, by its path within it.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// The text without comments, so that a comment may name what the code may not.
    pub fn code(&self) -> String {
        let without = |line: &str| line.split("//").next().unwrap_or_default().to_string();
        self.text
            .lines()
            .map(|line| if line.contains("://") { line.to_string() } else { without(line) })
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// One file.
pub fn read(path: &str) -> String {
    let full = root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files beneath a folder that end like this, in order of their paths.
pub fn sources(folder: &str, ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    let mut sources: Vec<Source> = paths
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| path.strip_prefix(root()).expect("beneath the root").display().to_string())
        .map(|path| Source { text: read(&path), path })
        .collect();
    assert!(!sources.is_empty(), "no file beneath {folder} ends with {ending}");
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() { collect(&entry, paths) } else { paths.push(entry) }
    }
}

/// Whether a text has a word, and not only as a part of another.
pub fn has_word(text: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn a_foreign_crate_is_named_in_one_place() {
    for (krate, places) in [
        ("tiny_http", &["src/wire/upstream.rs", "src/transport/"][..]),
        ("httparse", &["src/transport/"]),
        ("rustix", &["src/transport/", "src/crew.rs", "src/mail/program.rs"]),
        ("matchit", &["src/dispatch.rs"]),
        ("bcrypt", &["src/auth/passwords.rs"]),
        ("jsonwebtoken", &["src/auth/tokens.rs"]),
        ("hmac", &["src/auth/tokens.rs", "src/auth/totp.rs", "src/seal.rs"]),
        ("ring", &["src/auth/totp.rs", "src/seal.rs", "src/database_url"]),
        ("r2d2", &["src/db", "src/database_url/connect.rs"]),
        ("scheduled_thread_pool", &["src/db.rs"]),
        ("r2d2_postgres", &["src/database_url/connect.rs"]),
        ("tokio", &["src/db/pipe.rs", "src/database_url/tls.rs"]),
        ("tokio_postgres", &["src/db/pipe.rs", "src/database_url", "src/logging.rs"]),
        ("futures_util", &["src/db/pipe.rs"]),
        ("rustls", &["src/database_url/"]),
        ("tokio_rustls", &["src/database_url/"]),
        ("dotenvy", &["src/config/environment.rs"]),
        ("env_logger", &["src/logging.rs"]),
        ("lexopt", &["src/command_line.rs"]),
        ("signal_hook", &["src/program.rs"]),
        // Its name is that of a media type too.
        ("use csv", &["src/spreadsheets/", "src/cells.rs"]),
        ("rpassword", &["src/program.rs"]),
    ] {
        let naming: Vec<String> = sources("src", ".rs")
            .into_iter()
            .filter(|source| has_word(&source.code(), krate))
            .map(|source| source.path)
            .collect();
        assert!(!naming.is_empty(), "nothing names {krate}: is it still needed?");
        for path in naming {
            assert!(places.iter().any(|place| path.starts_with(place)), "{path} names {krate}");
        }
    }
}

#[test]
fn what_stands_by_itself_knows_nothing_of_the_rest() {
    let sources = sources("src", ".rs");
    for (place, unknown) in [
        ("src/transport/", &["crate::"][..]),
        ("src/private_postgres", &["crate::"]),
        ("src/network.rs", &["crate::"]),
        ("src/metrics.rs", &["crate::"]),
        ("src/percent.rs", &["crate::"]),
        ("src/error.rs", &["crate::"]),
        // Beside what stands above it in the tour.
        ("src/validate/", &["crate::db", "crate::sql", "crate::audit"]),
    ] {
        let mut inside = sources.iter().filter(|source| source.path.starts_with(place)).peekable();
        assert!(inside.peek().is_some(), "{place} is gone");
        for source in inside {
            let code = source.code();
            // The leaves that all use.
            for line in code.replace("crate::lock::", "").replace("crate::clock::", "").lines() {
                let named = unknown.iter().find(|module| line.contains(**module));
                assert_eq!(named, None, "{}: {line}", source.path);
            }
        }
    }
}

#[test]
fn there_is_one_way_to_lock_and_one_clock_of_the_day() {
    for source in sources("src", ".rs") {
        let code = source.code();
        assert!(source.path == "src/lock.rs" || !has_word(&code, "PoisonError"), "{} locks by itself", source.path);
        assert!(!has_word(&code, "SystemTime"), "{} asks another clock than jiff", source.path);
    }
}

#[test]
fn only_the_auth_module_can_make_a_user_and_an_admin() {
    let text = read("src/auth/mod.rs");
    let user = text.split("pub struct User {").nth(1).and_then(|rest| rest.split('}').next()).expect("User");
    assert!(user.lines().any(|line| !line.contains("pub ") && line.contains(": Role")), "a private field: {user}");
    assert!(text.contains("pub struct Admin(User);"), "its field is private");
}

#[test]
fn every_file_says_at_its_top_what_it_is_for() {
    for folder in ["src", "tests", "examples"] {
        for source in sources(folder, ".rs") {
            assert!(source.text.starts_with("//! "), "{} does not begin with //!", source.path);
        }
    }
    for source in sources("sql", ".sql") {
        assert!(source.text.starts_with("-- "), "{} does not begin with --", source.path);
    }
}

#[test]
fn no_file_is_longer_than_can_be_read_in_one_go() {
    for source in [sources("src", ".rs"), sources("tests", ".rs"), sources("sql", ".sql")].iter().flatten() {
        let lines = source.text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines: what are its two subjects?", source.path);
    }
}

#[test]
fn the_library_shows_what_a_program_that_embeds_it_needs_and_nothing_else() {
    let tour = read("src/lib.rs");
    let shown: Vec<&str> = tour.lines().filter(|line| line.starts_with("pub ")).collect();
    assert_eq!(
        shown,
        [
            "pub mod internals;",
            "pub use config::{Config, LogFormat};",
            "pub use network::Network;",
            "pub use program::run;",
            "pub use service::Service;",
        ]
    );
    assert!(tour.contains("#[doc(hidden)]\npub mod internals;"), "cargo doc leaves it out");
}

#[test]
fn every_module_stands_in_the_guided_tour() {
    let tour = read("src/lib.rs");
    for source in sources("src", ".rs") {
        let name = source.path.trim_start_matches("src/").trim_end_matches(".rs");
        if !matches!(name, "lib" | "main") && !name.contains('/') {
            assert!(tour.contains(&format!("mod {name};")), "src/lib.rs does not list {name}");
        }
    }
}

#[test]
fn where_there_are_statements_there_are_three_files_of_one_name() {
    let names = |folder: &str, ending: &str| -> Vec<String> {
        let of = |source: Source| source.path[folder.len() + 1..].trim_end_matches(ending).to_string();
        sources(folder, ending).into_iter().map(of).filter(|name| !name.contains('/') && name != "mod").collect()
    };
    let (mut handlers, statements) = (names("src/handlers", ".rs"), names("sql", ".sql"));
    // The one that is a folder: a file for each of its resources.
    handlers.push("fhir".into());
    let code = |name: &str| match name {
        "fhir" => sources("src/fhir", ".rs").iter().map(|source| source.text.as_str()).collect::<String>(),
        _ => read(&format!("src/handlers/{name}.rs")),
    };
    let tests = names("tests/api", ".rs");
    for name in &statements {
        assert!(handlers.contains(name), "sql/{name}.sql has no src/handlers/{name}.rs");
        assert!(tests.contains(name), "sql/{name}.sql has no tests/api/{name}.rs");
    }
    for name in &handlers {
        let text = code(name);
        let uses = format!("sql.{name}.");
        assert!(
            !["read.sql", "app.sql."].iter().any(|names| text.contains(names)) || text.contains(&uses),
            "src/handlers/{name}.rs uses others' statements only"
        );
        assert_eq!(statements.contains(name), text.contains(&uses), "sql/{name}.sql");
    }
}

#[test]
fn operations_come_in_the_same_order_everywhere() {
    let order = ["create", "list", "find", "update", "delete"];
    let places = |text: &str, before: &str, after: &str| -> Vec<usize> {
        order.iter().filter_map(|name| text.find(&format!("{before}{name}{after}"))).collect()
    };
    for name in ["patients", "doctors", "mappings"] {
        let handler = read(&format!("src/handlers/{name}.rs"));
        let sql = read(&format!("sql/{name}.sql"));
        for places in [places(&handler, "\npub fn ", "("), places(&sql, "-- name: ", "(")] {
            assert!(places.len() >= 3 && places.is_sorted(), "{name}");
        }
    }
}
