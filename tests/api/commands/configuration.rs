//! The environment and the `.env` file: defaults, bad values (all at once, a line each), who wins.

use std::collections::HashMap;

use healthcare_backend::internals::{VARIABLES, connections_needed, hashing_threads, misspelt};
use healthcare_backend::{Config, LogFormat, Service};

use crate::harness::app::SECRET;
use crate::harness::binary::Program;
use crate::harness::folder::Folder;
use crate::harness::postgres;

/// The configuration of these variables.
fn config(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Config::from_variables(&variables)
}

#[test]
fn without_variables_everything_is_as_documented() {
    let config = config(&[]).expect("a configuration");
    assert!(config.database_pool > 12 + hashing_threads(), "changes that wait together share a flush");
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 8080));
    assert_eq!(config.database_url, None);
    assert_eq!(config.data_dir.to_str(), Some("./data"));
    assert_eq!((config.jwt_secret, config.jwt_secret_previous, config.jwt_ttl_seconds), (None, None, 3600));
    assert_eq!(config.bcrypt_cost, 12);
    assert!((2..=64).contains(&config.workers) && config.database_pool >= config.workers);
    assert_eq!(
        (config.max_body_bytes, config.max_connections, config.max_connections_per_address),
        (262_144, 1024, 256)
    );
    assert_eq!(config.max_memory_bytes, 67_108_864);
    assert!(config.cors_origins.is_empty() && config.trusted_proxies.is_empty());
    assert_eq!((config.auth_rate_per_minute, config.changes_per_minute), (120, 600));
    assert_eq!((config.login_max_failures, config.login_max_failures_total, config.login_lock_seconds), (10, 100, 900));
    assert_eq!((config.password_min_length, config.password_blocklist, config.audit_reads), (8, true, true));
    assert_eq!((config.log_format, config.log_filter.as_str(), config.sql_dir), (LogFormat::Text, "info", None));
}

#[test]
fn a_default_that_help_shows_is_what_an_unset_variable_means() {
    let in_words =
        ["—", "none", "one per core, 2 to 64", "from the cores", "a quarter of them", "from the request's Host"];
    let standard = config(&[]);
    for variable in VARIABLES.iter().filter(|variable| !in_words.contains(&variable.default)) {
        assert_eq!(config(&[(variable.name, variable.default)]), standard, "{}", variable.name);
    }
}

#[test]
fn every_bad_value_has_a_line_of_its_own_that_names_it_and_repeats_no_secret() {
    let bad = [
        ("HOST", "nonsense"),
        ("PORT", "65536"),
        ("DATABASE_URL", "mysql://ann:secret-short@localhost/clinic"),
        ("JWT_SECRET", "too short"),
        ("JWT_SECRET_PREVIOUS", "also short"),
        ("JWT_TTL_SECONDS", "0"),
        ("BCRYPT_COST", "9"),
        ("WORKERS", "0"),
        ("DATABASE_POOL", "-1"),
        ("MAX_BODY_BYTES", "1.5"),
        ("MAX_CONNECTIONS", "many"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "0"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("AUTH_RATE_PER_MINUTE", "-1"),
        ("CHANGES_PER_MINUTE", "600/60"),
        ("LOGIN_MAX_FAILURES", "0"),
        ("LOGIN_MAX_FAILURES_TOTAL", "x"),
        ("LOGIN_LOCK_SECONDS", "0"),
        ("PASSWORD_MIN_LENGTH", "73"),
        ("PASSWORD_BLOCKLIST", "no"),
        ("AUDIT_READS", "1"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "loud"),
        ("SQL_DIR", "/no/such/folder"),
        ("ALLOW_WEAK_HASHING", "yes"),
    ];
    let folder = Folder::new();
    let program =
        bad.iter().fold(Program::bare(&folder, &["serve"]), |program, (name, value)| program.set(name, value));
    let ended = program.run("");
    let mut problems = ended.problems(1);
    assert_eq!(ended.stderr.lines().count(), bad.len(), "{}", ended.stderr);
    problems.sort_unstable();
    let mut names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    for (problem, name) in problems.iter().zip(names) {
        assert!(problem.starts_with(&format!("{name} must ")), "{problem}");
        assert!(!problem.contains("short"), "{problem}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "and nothing was started");
}

#[test]
fn memory_must_hold_several_bodies() {
    let folder = Folder::new();
    let program = Program::new(&folder, &["check"]).set("MAX_BODY_BYTES", "16777217");
    assert_eq!(program.run("").problem(1), "MAX_MEMORY_BYTES must be at least four times MAX_BODY_BYTES");
}

#[test]
fn a_data_dir_that_is_a_file_is_named_unless_nothing_is_kept_there() {
    let (folder, database) = (Folder::new(), postgres::new_database());
    folder.write("data", "");
    let ended = Program::bare(&folder, &["serve"]).run("");
    assert!(ended.problem(1).starts_with("DATA_DIR must be a folder, but ./data is a file: "), "{ended:?}");
    Program::on(&database, &folder, &["check"]).run("").said();
    // If the folder lacks a file, the line names the file.
    let ended = Program::on(&database, &folder, &["check"]).set("SQL_DIR", ".").run("");
    assert!(ended.problem(1).contains(".sql cannot be read") && ended.problem(1).contains("SQL_DIR must"), "{ended:?}");
}

#[test]
fn a_configuration_made_by_hand_keeps_the_same_rules() {
    let by_hand = Config {
        host: "nonsense".into(),
        workers: 0,
        database_pool: 0,
        bcrypt_cost: 4,
        login_lock_seconds: -1,
        database_url: Some("postgres://ann@127.0.0.1/clinic".into()),
        sql_dir: Some("/no/such/folder".into()),
        cors_origins: vec!["clinic.example".into()],
        ..Config::default()
    };
    let problem = Service::start(by_hand).err().expect("no start");
    for name in [
        "HOST",
        "WORKERS",
        "DATABASE_POOL",
        "BCRYPT_COST",
        "LOGIN_LOCK_SECONDS",
        "SQL_DIR",
        "CORS_ORIGINS",
        "JWT_SECRET",
    ] {
        assert!(
            problem.contains(&format!("{name} must ")) || problem.contains(&format!("{name} is ")),
            "{name}: {problem}"
        );
    }
    let small = Config { workers: 20, database_pool: 1, ..Config::default() };
    assert_eq!(small.checked().map(|config| config.database_pool), Ok(connections_needed(20)));
    assert_eq!(Config::default().checked(), Ok(Config::default()));
}

#[test]
fn a_log_filter_is_levels_and_nothing_else() {
    for filter in ["off", "ERROR", "info,request=warn", "warn, database = trace ,"] {
        assert_eq!(config(&[("RUST_LOG", filter)]).map(|config| config.log_filter), Ok(filter.trim().into()));
    }
    for filter in ["loud", "info,request", "request=loud", "info/ann", "info=warn=error"] {
        let problems = config(&[("RUST_LOG", filter)]).expect_err(filter);
        assert!(problems.len() == 1 && problems[0].starts_with("RUST_LOG must "), "{problems:?}");
    }
}

#[test]
fn limits_are_taken_at_their_ends_and_refused_beyond() {
    for (name, least, most) in [
        ("PORT", "0", "65535"),
        ("BCRYPT_COST", "10", "16"),
        ("WORKERS", "1", "1024"),
        ("PASSWORD_MIN_LENGTH", "1", "72"),
        ("AUTH_RATE_PER_MINUTE", "0", "1000000"),
        ("CHANGES_PER_MINUTE", "0", "1000000"),
        ("LOGIN_LOCK_SECONDS", "1", "86400"),
    ] {
        let number: i64 = most.parse().expect("a number");
        assert!(config(&[(name, least)]).is_ok() && config(&[(name, most)]).is_ok(), "{name}");
        assert!(config(&[(name, &(number + 1).to_string())]).is_err(), "{name}");
        assert!(config(&[(name, " 11 ")]).is_ok(), "{name}: white space around a value");
    }
    assert!(config(&[("BCRYPT_COST", "4")]).is_err());
    assert!(config(&[("BCRYPT_COST", "4"), ("ALLOW_WEAK_HASHING", "0")]).is_err());
    assert_eq!(config(&[("BCRYPT_COST", "4"), ("ALLOW_WEAK_HASHING", "1")]).map(|config| config.bcrypt_cost), Ok(4));
    assert!(config(&[("BCRYPT_COST", "3"), ("ALLOW_WEAK_HASHING", "1")]).is_err());
}

#[test]
fn the_pool_is_never_smaller_than_what_the_workers_need() {
    let config = |pool: &str| config(&[("WORKERS", "20"), ("DATABASE_POOL", pool)]).expect("a configuration");
    assert_eq!(config("3").database_pool, connections_needed(20));
    assert_eq!(config("100").database_pool, 100);
}

#[test]
fn an_empty_value_counts_as_unset_and_lists_are_split_at_commas() {
    let config = config(&[
        ("PORT", ""),
        ("DATABASE_URL", " "),
        ("CORS_ORIGINS", " https://a.example , http://localhost:3000,"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("MAX_CONNECTIONS", "28"),
    ]);
    let config = config.expect("a configuration");
    assert_eq!((config.port, config.database_url), (8080, None));
    assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:3000"]);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.max_connections_per_address, 7, "a quarter of MAX_CONNECTIONS");
}

#[test]
fn a_secret_has_32_bytes_and_is_required_with_a_database_url() {
    let url = ("DATABASE_URL", "postgres://x@127.0.0.1/x");
    let lines = config(&[url]).expect_err("no secret");
    assert!(lines.len() == 1 && lines[0].starts_with("JWT_SECRET "), "{lines:?}");
    let of = |bytes: usize| "s".repeat(bytes);
    assert_eq!(config(&[url, ("JWT_SECRET", &of(31))]).expect_err("too short").len(), 1);
    assert!(config(&[url, ("JWT_SECRET", &of(32))]).is_ok());
    assert!(config(&[url, ("JWT_SECRET", "")]).is_err(), "empty is unset");
    let config = config(&[url, ("JWT_SECRET", &of(32)), ("JWT_SECRET_PREVIOUS", &of(33))]).expect("a configuration");
    let summary = config.summary();
    assert!(!summary.contains("sss") && !summary.contains('\n'), "{summary}");
}

#[test]
fn an_env_file_in_the_working_directory_is_read_and_the_environment_wins() {
    let (folder, database) = (Folder::new(), postgres::new_database());
    let file = format!(
        "# a comment\nDATABASE_URL=\"{database}\"\nexport JWT_SECRET='{SECRET}'\nPORT=0\nMAX_BODY_BYTES=100\n\nBCRYPT_COST=10\n"
    );
    folder.write(".env", &file);
    let body = serde_json::json!({ "email": "x".repeat(100) });
    for (from_environment, status) in [(None, 413), (Some("1000"), 400)] {
        let program = Program::bare(&folder, &["serve"]);
        let program = match from_environment {
            Some(bytes) => program.set("MAX_BODY_BYTES", bytes),
            None => program,
        };
        let server = program.serve();
        assert_eq!(server.anyone().post("/api/auth/login", body.clone()).status, status);
        assert_eq!(server.stop().code, Some(0));
    }
    // A bad line is named without its text.
    folder.write(".env", "JWT_SECRET='secret-word\n");
    let ended = Program::bare(&folder, &["check"]).run("");
    let problem = ended.problem(1);
    assert!(problem.contains(".env") && !problem.contains("secret-word"), "{problem}");
}

#[test]
fn a_bad_line_of_the_env_file_is_named_by_its_number() {
    let folder = Folder::new();
    for (file, number) in [
        ("nonsense", 1),
        ("# nonsense\nPORT=0\n\nnonsense # secret-word\nHOST=::1\n", 4),
        ("PORT=0\r\nPORT\r\n", 2),
        ("A='one\ntwo'\nB=\"secret-word\nC=3\n", 3),
        ("A=1\nexport secret-word\n", 2),
        ("A=1\n=secret-word\n", 2),
    ] {
        folder.write(".env", file);
        let ended = Program::bare(&folder, &["check"]).run("");
        let problem = ended.problem(1);
        assert!(problem.starts_with(&format!(".env, line {number}: ")), "{file:?}: {problem}");
        assert!(!problem.contains("secret-word"), "{problem}");
    }
    // The byte order mark that some editors write is no part of the first name.
    folder.write(".env", "\u{feff}PORT=nonsense\n");
    assert!(Program::bare(&folder, &["check"]).run("").problem(1).starts_with("PORT must "));
}

#[test]
fn a_misspelt_variable_is_reported_at_the_start() {
    let warned = |name: &str| {
        let lines = misspelt(&HashMap::from([(name.to_string(), "secret-word".to_string())]));
        assert!(!lines.iter().any(|line| line.contains("secret-word")), "{lines:?}");
        lines.into_iter().next()
    };
    for (name, ours) in [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_ULR", "DATABASE_URL"),
        ("DATABASEURL", "DATABASE_URL"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("JWT_SECRETS", "JWT_SECRET"),
        ("LOGIN_MAX_FAILURE", "LOGIN_MAX_FAILURES"),
        ("WORKER", "WORKERS"),
        ("PORTS", "PORT"),
        ("HOSTS", "HOST"),
    ] {
        let line = warned(name).unwrap_or_else(|| panic!("no warning names {name}"));
        assert!(line.contains(name) && line.contains(&format!("did you mean {ours}?")), "{line}");
    }
    for variable in VARIABLES {
        assert_eq!(warned(variable.name), None);
    }
    // Names of an ordinary environment, and names that are too far from ours.
    for name in "PATH HOME HOSTNAME USER LOGNAME SHELL TERM LANG LC_ALL PWD OLDPWD SHLVL MAIL EDITOR PAGER TZ TMPDIR DISPLAY \
                 XDG_RUNTIME_DIR XDG_DATA_DIRS SSH_AUTH_SOCK INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_FDS LS_COLORS \
                 DATABASE LOG_LEVEL PGHOST PGPORT PGDATA PROT HO SSL_CERT_FILE RUST_BACKTRACE CARGO_HOME DEBUG CI _"
        .split_whitespace()
    {
        assert_eq!(warned(name), None);
    }

    // In the `.env` file as in the environment, whether the start goes on or not.
    let (folder, database) = (Folder::new(), postgres::new_database());
    folder.write(".env", "BCRYPT_COSTS=11\n");
    let ended = Program::on(&database, &folder, &["check"]).set("DATABSE_URL", "secret-word").run("");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for name in ["BCRYPT_COSTS", "DATABSE_URL"] {
        let line = ended.stderr.lines().find(|line| line.contains(name));
        assert!(line.is_some_and(|line| line.contains("warn")), "{ended:?}");
    }
    assert!(!ended.stderr.contains("secret-word"), "{ended:?}");
    let ended = Program::bare(&folder, &["check"]).set("DATABASE_URL", &database).set("JWT_SECRE", SECRET).run("");
    let problems = ended.problems(1);
    assert!(problems.iter().any(|problem| problem.starts_with("JWT_SECRET is required")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("nothing reads the variable JWT_SECRE:")), "{problems:?}");
}

#[test]
fn a_value_that_is_not_utf_8_is_refused_rather_than_ignored() {
    let folder = Folder::new();
    for (name, value) in [("DATABASE_URL", &b"postgres://\xff"[..]), ("JWT_SECRET", &[0xfe; 40]), ("PORT", b"80\xff")] {
        let program = Program::bare(&folder, &["check"]).set("JWT_SECRET", SECRET).set_bytes(name, value);
        let ended = program.run("");
        assert!(ended.problem(1).contains(name), "{ended:?}");
    }
}

#[test]
fn a_bad_database_url_is_one_line_without_its_password() {
    let folder = Folder::new();
    for url in [
        "mysql://ann:secret-word@localhost/clinic",
        "postgres://ann:secret-word@localhost:port/clinic",
        "postgres://ann:secret-word@localhost/clinic?sslmode=sometimes",
        "postgres://ann:secret-word@localhost/clinic?colour=red",
        "secret-word",
    ] {
        let ended = Program::on(url, &folder, &["check"]).run("");
        let problem = ended.problem(1);
        assert!(problem.contains("DATABASE_URL") && !problem.contains("secret-word"), "{problem}");
    }
}

#[test]
fn the_variables_of_mail_belong_together_and_each_has_its_rule() {
    let good = [
        ("SENDMAIL", "true -C /etc/msmtprc"),
        ("MAIL_FROM", "Clinic <c@example.org>"),
        ("RESET_URL", "https://c.example/r#"),
    ];
    assert!(config(&good).is_ok());
    for missing in 0..3 {
        let some: Vec<_> =
            good.into_iter().enumerate().filter(|(place, _)| *place != missing).map(|(_, pair)| pair).collect();
        let problems = config(&some).expect_err("not whole");
        assert!(problems.len() == 1 && problems[0].starts_with(good[missing].0), "{problems:?}");
        assert!(config(&[good[missing]]).is_err());
    }
    for (place, value) in [
        (0, "/no/such/program -t"),
        (0, "no-such-program"),
        (0, "/etc/passwd"),
        (1, "clinic"),
        (1, "Clinic <c@example.org"),
        (1, "Clinic <c@example.org>, Eve <e@example.org>"),
        (1, "c@example.org\u{7}"),
        (2, "clinic.example/reset"),
        (2, "ftp://clinic.example/"),
        (2, "https://"),
        (2, "https://clinic.example/a b"),
        (2, "https://clinic.example/ü"),
    ] {
        let mut all = good;
        all[place].1 = value;
        let problems = config(&all).expect_err(value);
        assert!(problems.len() == 1 && problems[0].starts_with(good[place].0), "{value}: {problems:?}");
    }
}
