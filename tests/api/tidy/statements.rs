//! SQL is source: lower-case, named, documented, one statement a query, and never put together from strings.

use super::{has_word, read, sources};

/// The queries of a file: name, the comment below it, and the text.
struct Listed {
    name: String,
    /// What stands behind the name: parameters, rows, a word.
    declared: String,
    comment: bool,
    text: String,
}

fn listed(text: &str) -> Vec<Listed> {
    let mut queries: Vec<Listed> = Vec::new();
    for line in text.lines() {
        if let Some(declaration) = line.strip_prefix("-- name: ") {
            let (name, declared) = declaration.split_once('(').expect("a name");
            let (name, declared) = (name.to_string(), declared.to_string());
            queries.push(Listed { name, declared, comment: false, text: String::new() });
        } else if let Some(query) = queries.last_mut() {
            if line.starts_with("--") {
                query.comment |= query.text.is_empty();
            } else if !line.trim_start().starts_with("--") {
                query.text.push_str(line);
                query.text.push('\n');
            }
        }
    }
    queries
}

/// The files of named queries.
fn files() -> Vec<(String, Vec<Listed>)> {
    let files = sources("sql", ".sql").into_iter().filter(|source| !source.path.contains("migrations"));
    files.map(|source| (source.path.clone(), listed(&source.text))).collect()
}

/// The files in which `*` means the columns of a table: those that `src/records.rs` lists (`sql/README.md`).
const WHOLE_ROWS: [&str; 5] =
    ["sql/doctors.sql", "sql/fhir.sql", "sql/mappings.sql", "sql/patients.sql", "sql/transfers.sql"];

#[test]
fn statements_are_lower_case_name_their_columns_and_stand_alone() {
    for (path, queries) in files() {
        assert!(!queries.is_empty(), "{path} has no query");
        let may_take_all = WHOLE_ROWS.contains(&path.as_str());
        for Listed { name, text, .. } in queries {
            let statement = text.trim();
            assert!(
                statement.ends_with(';') && statement.matches(';').count() == 1,
                "{path}: {name} is not one statement"
            );
            let plain = statement.replace("count(*)", "count()").replace("'*'", "''");
            assert!(may_take_all || !plain.contains('*'), "{path}: {name} takes whatever columns there are");
            for keyword in
                ["SELECT", "FROM", "WHERE", "INSERT", "UPDATE", "DELETE", "JOIN", "AND", "OR", "WITH", "NULL"]
            {
                assert!(!has_word(statement, keyword), "{path}: {name} shouts {keyword}");
            }
        }
    }
}

#[test]
fn a_statement_that_needs_more_than_a_glance_says_what_it_does() {
    for (path, queries) in files() {
        for Listed { name, text, comment, .. } in queries {
            let lines = text.trim().lines().count();
            assert!(comment || lines <= 20, "{path}: {name} has {lines} lines and no comment");
        }
    }
}

/// Statements that read or change patients or mappings without the value that says whose, and why.
const WITHOUT_OWNERS: &[(&str, &str)] = &[
    ("patients.create", "the actor owns the new patient"),
    ("patients.import", "the operator's command line"),
    ("patients.export", "the operator's command line"),
    ("doctors.delete", "an admin's cascade, or nothing if there is a mapping"),
    ("doctors.undelete", "mappings that went with the doctor, for whoever owns their patients"),
    ("grants.end_lost", "takes rights away: it ends shares, whose the patients may be"),
    ("groups.delete", "asks only whether members own patients"),
    ("groups.remove", "asks only whether the member owns patients"),
];

#[test]
fn no_statement_about_patients_or_mappings_forgets_whose_they_are() {
    let mut without: Vec<&str> = WITHOUT_OWNERS.iter().map(|(name, _)| *name).collect();
    for (path, queries) in files() {
        let file = path.trim_start_matches("sql/").trim_end_matches(".sql");
        for Listed { name, declared, text, .. } in queries {
            let is_about = ["from", "join", "into", "update"]
                .iter()
                .any(|verb| ["patients", "mappings"].iter().any(|table| has_word(&text, &format!("{verb} {table}"))));
            let full_name = format!("{file}.{name}");
            let has_owners = declared.starts_with("owners ") || declared.starts_with("owner_id ");
            if let Some(place) = without.iter().position(|known| *known == full_name) {
                without.remove(place);
                assert!(is_about && !has_owners, "{full_name} needs no exception");
                continue;
            }
            assert!(!is_about || has_owners, "{full_name} does not begin with owners");
            // src/sql.rs refuses a statement that has owners and is not `Owned`.
            let uses_them = ["created_by = any (", "owner_id = any ("].iter().any(|limit| text.contains(limit));
            assert!(!has_owners || uses_them, "{full_name} does nothing with its owners");
        }
    }
    assert!(without.is_empty(), "{without:?} are gone");
}

/// Only then an answer says so, and its reads are recorded (`Query::tells_emergency`).
#[test]
fn every_statement_that_asks_what_is_granted_tells_emergency_access_from_a_share() {
    let mut count = 0;
    for (path, queries) in files() {
        for Listed { name, text, .. } in queries.iter().filter(|query| query.text.contains("live_grant(")) {
            // A lock shows nothing.
            let tells = text.contains("emergency") || name == "lock";
            assert!(tells, "{path}: {name} has no column `emergency`");
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn only_the_value_that_says_whose_patients_a_request_may_see_asks_for_them() {
    for source in sources("src", ".rs") {
        let may = ["src/auth/owners.rs", "src/sql.rs"].contains(&source.path.as_str());
        assert!(may || !has_word(&source.code(), "limited_by_owners"), "{} goes past auth/owners.rs", source.path);
    }
    let owners = read("src/auth/owners.rs");
    assert!(owners.contains("pub struct Owners(Whose);") && owners.contains("\nenum Whose {"), "its field is private");
}

/// Writing statements that no user's right stands behind, and why.
const WITHOUT_ACTOR: &[(&str, &str)] = &[
    ("audit.export", "the operator's command line"),
    ("patients.import", "the operator's command line"),
    ("doctors.import", "the operator's command line"),
    ("audit.record", "the service writes what it has shown or refused"),
    ("idempotency.claim", "stands before a statement that looks at the actor"),
    ("idempotency.store", "stands behind a statement that looks at the actor"),
    ("idempotency.prune", "the service removes what is too old"),
    ("users.register", "nobody has logged in yet"),
    ("users.set_role", "the operator's command line"),
    ("totp.use_code", "a login, under the lock that its session is made under"),
    ("totp.use_recovery", "a login, under the lock that its session is made under"),
    ("totp.record_wrong", "nobody has logged in"),
    ("totp.clear", "the operator's command line"),
    ("grants.end_lost", "stands behind a statement that looks at the actor"),
    ("sessions.take_back", "nobody has logged in yet"),
    ("resets.issue_by_mail", "the token goes to the owner of the account only"),
    ("resets.redeem", "the token stands for its user, who has not logged in"),
    ("resets.set_password", "the operator's command line"),
    ("sessions.forget_failures", "a right password stands before it"),
    ("sessions.attempt", "nobody has logged in yet"),
    ("sessions.record_failure", "nobody has logged in"),
    ("sessions.create", "asks for an enabled account itself"),
    ("sessions.refresh", "asks for a live session itself"),
    ("sessions.touch", "the service notes which sessions were used"),
    ("sessions.end", "takes rights away: it ends a live session of the user's own"),
    ("sessions.prune_tokens", "the service removes what is too old"),
    ("sessions.prune", "the service removes what is too old"),
    ("sessions.prune_failures", "the service removes what is too old"),
];

#[test]
fn every_change_of_a_user_or_an_admin_looks_at_the_actor_behind_its_locks() {
    let mut without: Vec<&str> = WITHOUT_ACTOR.iter().map(|(name, _)| *name).collect();
    for (path, queries) in files() {
        let file = path.trim_start_matches("sql/").trim_end_matches(".sql");
        for Listed { name, declared, text, .. } in queries {
            // A lock changes nothing, and stands before a statement that does.
            if !declared.ends_with(" write") || name.starts_with("lock") {
                continue;
            }
            let full_name = format!("{file}.{name}");
            if let Some(place) = without.iter().position(|known| *known == full_name) {
                without.remove(place);
                assert!(!text.contains("acting("), "{full_name} looks at the actor: it needs no exception");
                continue;
            }
            let place = |parameter: &str| {
                let before = declared.split(parameter).next().filter(|before| before.len() < declared.len());
                let before = before.unwrap_or_else(|| panic!("{full_name} does not say {parameter}"));
                format!("${}", before.matches(',').count() + 1)
            };
            let call = format!("({}, {}, ", place("actor_id "), place("session_id "));
            let asks = ["acting", "acting_for"].iter().any(|name| text.contains(&format!("{name}{call}")));
            assert!(asks, "{full_name} does not ask acting{call}…) or acting_for");
            // The actor of an entry is the one that was looked at.
            let entries = text.split("insert into audit_entries").nth(1).unwrap_or_default();
            let actor = place("actor_id ");
            assert!(
                !entries.contains(&format!("select {actor},")),
                "{full_name} records an actor that it did not look at"
            );
        }
    }
    assert!(without.is_empty(), "{without:?} are gone, or do not write any more");
}

#[test]
fn every_statement_is_used_and_declared_in_the_order_of_its_file() {
    let code: String = sources("src", ".rs").iter().map(|source| source.text.as_str()).collect();
    let declared = read("src/sql.rs");
    for (path, queries) in files() {
        let file = path.trim_start_matches("sql/").trim_end_matches(".sql");
        for query in &queries {
            let used = format!("{file}.{}", query.name);
            assert!(has_word(&code, &used), "nothing uses {path}: {}", query.name);
        }
        let names: Vec<&str> = queries.iter().map(|query| query.name.as_str()).collect();
        let line = declared.lines().find_map(|line| line.trim().strip_prefix(&format!("{file}: "))).expect(file);
        let list = line.split(['{', '}']).nth(1).expect("a list");
        let declared = list.split(',').map(|name| name.trim().trim_end_matches(": Owned"));
        assert_eq!(declared.collect::<Vec<_>>(), names, "src/sql.rs and {path}");
    }
}

#[test]
fn no_statement_is_put_together_from_strings() {
    let verbs = [
        "select ", "insert ", "update ", "delete ", "with ", "alter ", "create ", "drop ", "set ", "listen ", "notify ",
    ];
    // Neither LISTEN nor NOTIFY nor CREATE DATABASE takes a parameter; what stands in braces is a constant.
    let constant = ["\"listen {CHANNEL}\"", "\"notify {CHANNEL}, 'hello'\"", "\"create database {USER}\""];
    for source in sources("src", ".rs") {
        let text = constant.iter().fold(source.text, |text, allowed| text.replace(allowed, ""));
        for (at, _) in text.match_indices("format!(") {
            let literal = text[at + "format!(".len()..].trim_start().trim_start_matches('"');
            let made = verbs.iter().find(|verb| literal.to_lowercase().starts_with(**verb));
            assert_eq!(made, None, "{}: {}", source.path, literal.lines().next().unwrap_or_default());
        }
    }
}

#[test]
fn migrations_are_numbered_without_gaps_and_all_built_in() {
    let built_in = read("src/migrate.rs");
    for (place, source) in sources("sql/migrations", ".sql").iter().enumerate() {
        let name = source.path.trim_start_matches("sql/migrations/").trim_end_matches(".sql");
        assert!(name.starts_with(&format!("{:04}_", place + 1)), "{name} should be number {}", place + 1);
        assert!(built_in.contains(&format!("\"{name}\"")), "src/migrate.rs does not build in {name}");
    }
}

#[test]
fn every_constraint_that_a_client_can_run_into_has_its_sentence() {
    let statements: String = files().iter().map(|(path, _)| read(path)).collect();
    let schema: String = sources("sql/migrations", ".sql").iter().map(|source| source.text.clone()).collect();
    let schema: String = schema.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let named = schema.split("constraint ").skip(1).filter_map(|rest| rest.split([' ', ',', ';']).next());
    let named: Vec<&str> = named.collect();
    assert!(named.len() > 3, "{named:?}");
    for constraint in named {
        // The helper of the foreign key: two patients cannot share an id. And a mapping locks its patient before it is made. The actions of
        // a batch are our own.
        let ours = ["patients_id_created_by_key", "mappings_patient_id_fkey", "audit_batches_action_check"];
        if !ours.contains(&constraint) {
            assert!(
                statements.contains(&format!("\n-- conflict {constraint}: ")),
                "sql/ has no sentence for {constraint}"
            );
        }
    }
}
