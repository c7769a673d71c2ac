//! The bounds in docs/operations.md are those of the code: each row of the table stands beside the lines that set its bounds.

use super::documents::section;
use super::read;

/// The beginning of a row, its file, and the lines that set its bounds.
#[rustfmt::skip]
const BOUNDS: &[(&str, &str, &[&str])] = &[
    ("request line | 8 KiB |", "src/transport/config.rs", &["request_line_bytes: 8 * 1024,"]),
    ("header section | 16 KiB, 100 lines |", "src/transport/config.rs", &["header_section_bytes: 16 * 1024,", "header_lines: 100,"]),
    ("body | `MAX_BODY_BYTES` |", "src/wire.rs", &["body_bytes: u64::try_from(app.config.max_body_bytes)"]),
    ("the whole head | 10 s from its first byte |", "src/transport/config.rs", &["head_ms: 10_000,"]),
    ("the whole body | 30 s from the end of the head |", "src/transport/config.rs", &["body_ms: 30_000,"]),
    ("chunk extensions, trailer section of a chunked body | 16 KiB, 8 KiB |", "src/transport/config.rs",
        &["chunk_extension_bytes: 16 * 1024,", "trailer_bytes: 8 * 1024,"]),
    ("idle connection | 60 s |", "src/transport/config.rs", &["idle_ms: 60_000,"]),
    ("reading on after a refusal | 2 s, 1 MiB |", "src/transport/config.rs", &["linger_ms: 2_000,", "linger_bytes: 1024 * 1024,"]),
    ("reading the answer | 160 KiB, or the rest of the answer, in each 20 s |", "src/transport/config.rs",
        &["answer_ms: 20_000,", "answer_bytes: 160 * 1024,"]),
    ("connections | `MAX_CONNECTIONS`, a quarter of them for one address |", "src/config/fields.rs", &["max_connections / 4"]),
    ("requests that a worker takes at once | 32 |", "src/server.rs", &["AT_ONCE: usize = 32;"]),
    ("waiting for a batch of reads | 250 ms |", "src/db/pipe.rs", &["PATIENCE: Duration = Duration::from_millis(250);"]),
    ("waiting for such a thread | 10 s; ", "src/lanes/job.rs", &["QUEUE_PATIENCE: Duration = Duration::from_secs(10);"]),
    ("waiting for a hashing thread | 24 requests per thread; ", "src/lanes.rs", &["QUEUE_PER_HASHING_THREAD: usize = 24;"]),
    ("waiting for other logins of the same account, when those being checked use up its last attempts | 2 s |", "src/auth/attempts.rs",
        &["PLACE_WAIT: Duration = Duration::from_secs(2);"]),
    ("waiting for a database connection | 3 s |", "src/db/connection.rs", &["POOL_WAIT: Duration = Duration::from_secs(3);"]),
    ("bodies that arrive or are handled, together | half of `MAX_MEMORY_BYTES`; bodies up to 64 KiB", "src/memory.rs",
        &["SHORT_BYTES: usize = 64 * 1024;", "self.max_bytes / 2"]),
    ("rows and unsent answers together | `MAX_MEMORY_BYTES`; half of it for one user; 12 MiB", "src/memory.rs",
        &["LONG_READ_BYTES: usize = 12 * 1024 * 1024;", "self.max_bytes / 2"]),
    ("long reads (searches, counts, sorted or long lists) of one user at a time | 2; ", "src/memory.rs", &["LONG_READS_OF_ONE: usize = 2;"]),
    ("a list, search or count in the database | 2 s |", "src/db/connection.rs", &["\"set statement_timeout = '2s'\""]),
    ("statement, lock | 10 s, 4 s |", "src/db/connection.rs", &["\"set statement_timeout = '10s'; set lock_timeout = '4s';"]),
    ("page | 500 records |", "src/validate/rules.rs", &["PAGE_MAX: i64 = 500;"]),
    ("the records of a page | 4 MiB |", "src/db/page.rs", &["PAGE_BYTES: usize = 4 * 1024 * 1024;"]),
    ("sessions of a user | 100 |", "src/auth/sessions.rs", &["MAX_PER_USER: i32 = 100;"]),
    ("a session | 30 days, 7 days unused |", "src/auth/sessions.rs",
        &["LIFETIME_SECONDS: i32 = 30 * 24 * 60 * 60;", "IDLE_SECONDS: i32 = 7 * 24 * 60 * 60;"]),
    ("remembered sessions | 50,000; ", "src/auth/sessions.rs", &["CAPACITY: usize = 50_000;"]),
    ("members of a care group, groups of a user | 200, 8 |", "src/handlers/groups.rs", &["MEMBERS_MAX: i64 = 200;", "GROUPS_MAX: i64 = 8;"]),
    ("live shares of a patient | 50 |", "src/handlers/grants.rs", &["SHARES_MAX: i64 = 50;"]),
    ("tries of emergency access of a user | 5 in 60 minutes, at all nodes together |", "src/handlers/emergency.rs", &["TRIES: i64 = 5;"]),
    ("patients of one name and birth date that emergency access opens | 5 |", "src/handlers/emergency.rs", &["MATCHES_MAX: i64 = 5;"]),
    ("patients that a transfer moves in one transaction | 500 |", "src/handlers/transfers.rs", &["AT_ONCE: i64 = 500;"]),
    ("rate-limited addresses, users | 10,000 each |", "src/auth/limits.rs", &["CAPACITY: usize = 10_000;"]),
    ("mail waiting | 100 |", "src/mail.rs", &["CAPACITY: usize = 100;"]),
    ("the mail program, for one message | 10 s |", "src/mail.rs", &["PATIENCE: Duration = Duration::from_secs(10);"]),
    ("mails with a token for one account | one in 5 minutes |", "src/mail.rs", &["PAUSE_SECONDS: i32 = 5 * 60;"]),
    ("audit entries waiting | 8,000; 1,000 of a kind that the database refuses | reads wait, 3 s at most", "src/audit.rs",
        &["CAPACITY: usize = 8_000;", "BATCH: usize = 1_000;", "PATIENCE: Duration = Duration::from_secs(3);"]),
    ("shutdown | 10 s for requests in flight |", "src/service.rs", &["GRACE: Duration = Duration::from_secs(10);"]),
];

#[test]
fn every_bound_of_the_page_on_operations_is_the_one_that_the_code_sets() {
    let section = section("docs/operations.md", "Limits");
    let rows: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1).collect();
    assert_eq!(rows.len(), BOUNDS.len(), "a row for each bound: {rows:#?}");
    for (row, (start, path, lines)) in rows.iter().zip(BOUNDS) {
        assert!(row.starts_with(start), "docs/operations.md has {row:?}, and this test {start:?}");
        for line in *lines {
            assert!(read(path).contains(line), "{path} does not set {line:?}: change the row {start:?} and this test");
        }
    }
}
