//! Reads the text of one file of statements.
//!
//! A file holds any number of statements, each under a line like
//!
//! ```sql
//! -- name: find(id bigint, owner_id bigint) :opt
//! ```
//!
//! which names it, declares its parameters in the order `$1, $2, …`, and says how many rows come back: `:one`, `:opt` (none or
//! one), `:many`, or `:exec` (none). A word may follow: `write` says that the statement changes or locks something, so that it is
//! never sent twice; `planned` asks PostgreSQL to plan a read for the values of each call; `batched` says that one statement
//! answers the questions of several requests. A parameter `page_size bigint` says how many rows come at most; such a page ends
//! early if its rows are long.
//!
//! A line below the name says what a client is told if a constraint refuses the change:
//!
//! ```sql
//! -- conflict users_email_key: A user with this e-mail already exists
//! ```
//!
//! The parameters of a `batched` statement are arrays with an element for each question, and its rows begin with the number of
//! their question, from 1. The word that says how many rows come back is about one question. Such a read must be quick whatever
//! its values are, because the requests wait for each other. A change may be `write batched` if it takes no locks that two batches
//! could take in different orders.

use postgres::types::Type;

use super::query::{Query, Rows};

/// Splits a file at its `-- name:` lines.
pub fn parse_file(file: &str, text: &str) -> Result<Vec<Query>, String> {
    let mut queries: Vec<Query> = Vec::new();
    for line in text.lines() {
        if let Some(declaration) = line.strip_prefix("-- name:") {
            let query = parse_declaration(file, declaration.trim())
                .ok_or_else(|| format!("{file}.sql: not a declaration: {}", line.trim()))?;
            if queries.iter().any(|present| present.name == query.name) {
                return Err(format!("{file}.sql: {} is declared twice", query.name));
            }
            queries.push(query);
        } else if let Some(query) = queries.last_mut() {
            if let Some(conflict) = line.strip_prefix("-- conflict ") {
                let parts = conflict.split_once(": ").ok_or_else(|| format!("{file}.sql: not a conflict: {line}"))?;
                query.conflicts.push((parts.0.to_string(), parts.1.to_string()));
            } else if !line.trim_start().starts_with("--") {
                query.text.push_str(line);
                query.text.push('\n');
            }
        }
    }
    for query in &mut queries {
        query.text = query.text.trim().trim_end_matches(';').to_string();
        query.tells_emergency = query.text.contains("live_grant(");
        check_parameters(query)?;
    }
    Ok(queries)
}

/// `find(id bigint, owner_id bigint) :opt`
fn parse_declaration(file: &str, declaration: &str) -> Option<Query> {
    let (name, rest) = declaration.split_once('(')?;
    let (parameters, kind) = rest.split_once(')')?;
    let mut words = kind.split_whitespace();
    let rows = match words.next()? {
        ":one" => Rows::One,
        ":opt" => Rows::Optional,
        ":many" => Rows::Many,
        ":exec" => Rows::None,
        _ => return None,
    };
    let (writes, planned, batched) = match (words.next(), words.next()) {
        (None, None) => (false, false, false),
        (Some("write"), None) => (true, false, false),
        (Some("planned"), None) => (false, true, false),
        (Some("batched"), None) => (false, false, true),
        (Some("write"), Some("batched")) => (true, false, true),
        _ => return None,
    };
    let declared = parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty());
    let declared: Vec<(&str, &str)> = declared.map(|parameter| parameter.split_once(' ')).collect::<Option<_>>()?;
    let parameters = declared.iter().map(|(_, type_)| type_named(type_.trim())).collect::<Option<_>>()?;
    let page_size = declared.iter().position(|(name, _)| *name == "page_size");
    let is_owned = matches!(declared.first(), Some(("owners" | "owner_id", _)));
    let name = format!("{file}.{}", name.trim());
    Some(Query {
        index: 0,
        name,
        text: String::new(),
        parameters,
        rows,
        page_size,
        writes,
        planned,
        batched,
        is_owned,
        tells_emergency: false,
        conflicts: Vec::new(),
    })
}

fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "bigint" => Type::INT8,
        "bigint[]" => Type::INT8_ARRAY,
        "boolean" => Type::BOOL,
        "bytea" => Type::BYTEA,
        "bytea[]" => Type::BYTEA_ARRAY,
        "date" => Type::DATE,
        "date[]" => Type::DATE_ARRAY,
        "inet" => Type::INET,
        "inet[]" => Type::INET_ARRAY,
        "integer" => Type::INT4,
        "jsonb" => Type::JSONB,
        "jsonb[]" => Type::JSONB_ARRAY,
        "text" => Type::TEXT,
        "text[]" => Type::TEXT_ARRAY,
        "timestamptz" => Type::TIMESTAMPTZ,
        "timestamptz[]" => Type::TIMESTAMPTZ_ARRAY,
        _ => return None,
    })
}

/// The statement uses `$1` to `$n` for its n declared parameters, each at least once and no other.
fn check_parameters(query: &Query) -> Result<(), String> {
    if query.text.is_empty() {
        return Err(format!("{} has no statement", query.name));
    }
    let mut used = vec![false; query.parameters.len()];
    for after in query.text.split('$').skip(1) {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        let index = digits.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| used.get_mut(index)) {
            Some(used) => *used = true,
            None => return Err(format!("{} uses ${digits}, which it does not declare", query.name)),
        }
    }
    match used.iter().position(|used| !used) {
        Some(index) => Err(format!("{} does not use ${}", query.name, index + 1)),
        None => Ok(()),
    }
}
