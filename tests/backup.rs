//! `backup` and `restore`, as an operator types them: the program itself, on a `DATA_DIR` of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use healthcare_backend::internals::{PrivatePostgres, Settings};
use postgres::{Client, NoTls};

#[test]
fn a_backup_restored_elsewhere_has_every_row() {
    let place = Place::new("round-trip");
    let old = place.data_dir("old");
    old.run(&["create-admin", "--email", "ann@example.org", "--name", "Ann"]).expect_success("created admin");
    old.sql(
        "insert into patients (name, date_of_birth, gender, medical_history, created_by)
         select 'Patient ' || n, '1990-04-23', 'female', E'a line\\n\\\\.\\na tab\\t', 1 from generate_series(1, 1234) as n",
    );
    old.sql(
        "insert into record_versions (resource, record_id, version, owner_id, ended_by, record)
             values ('patient', 1, 1, 1, 'update', '{\"name\": \"P\"}') returning version::text",
    );
    old.sql("insert into audit_entries (action, resource, resource_id, version) values ('update', 'patient', 1, 2) returning id::text");
    let batch = "insert into audit_batches
                 select nextval('audit_entries_id_seq'), 'list', 'patient', '{2026-01-01Z,2026-01-01Z}', '{1,1}', '{null,null}',
                        array['{1,2}', '{}'], '{::1,::1}', '{a,b}', '{1,2}' returning id::text";
    let id: i64 = old.sql(batch).parse().expect("an id");

    let file = place.root.join("clinic.backup");
    let told = old.run(&["backup", file.to_str().expect("a path")]).expect_success("wrote");
    assert!(told.contains("patients 1234") && told.contains("users 1"), "{told}");
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);

    let new = place.data_dir("new");
    let told = new.run(&["restore", file.to_str().expect("a path")]).expect_success("restored");
    assert!(told.contains("patients 1234") && told.contains("users 1"), "{told}");
    new.run(&["check"]).expect_success("all applied");
    let sum = "select md5(string_agg(p::text, '' order by id)) from patients p";
    assert_eq!(old.sql(sum), new.sql(sum));
    let trail = "select md5(string_agg(a::text, '' order by id)) from audit_trail a";
    assert_eq!(old.sql(trail), new.sql(trail));
    // More than the rows came along: the audit trail still cannot be edited, and ids continue where they were.
    assert!(new.try_sql("delete from audit_entries").is_err());
    assert!(new.try_sql("delete from audit_batches").is_err());
    assert_eq!(new.sql("select before ->> 'name' from audit_trail where version = 2"), "P");
    assert!(new.try_sql("delete from record_versions").is_err());
    assert_eq!(new.sql(batch), (id + 1_000).to_string());
    let next = "insert into patients (name, date_of_birth, gender, created_by) values ('Next', '1990-04-23', 'male', 1) returning id::text";
    assert_eq!(new.sql(next), "1235");
}

#[test]
fn a_restore_ends_all_sessions_and_emergency_access_and_names_the_admins_that_the_backup_knows() {
    let place = Place::new("access");
    let old = place.data_dir("old");
    for name in ["ann", "bob"] {
        let email = format!("{name}@example.org");
        old.run(&["create-admin", "--email", &email, "--name", name]).expect_success("created admin");
    }
    old.sql("update users set disabled = true where email = 'bob@example.org' returning id::text");
    old.sql(
        "with user_added as (
             insert into users (name, email, password_hash) values ('Cid', 'cid@example.org', '') returning id
         ), begun as (
             insert into sessions (user_id, expires_at, ended_at)
             select id, now() + ends, ended from user_added, (values (interval '1 day', null::timestamptz), (interval '2 days', null),
                 (interval '1 day', timestamptz '2026-01-01Z'), (interval '-1 day', null)) as session (ends, ended)
             returning id
         ), given as (
             insert into refresh_tokens (hash, session_id) select sha256(id::text::bytea), id from begun
         )
         select count(*)::text from begun",
    );
    old.sql(
        "insert into one_time_tokens (user_id, purpose, hash, expires_at) values (1, 'admin', 'x', now() + interval '1 day') returning purpose",
    );
    old.sql(
        "insert into patient_grants (patient_id, user_id, kind, granted_by, reason, expires_at)
         values (1, 1, 'share', 2, null, null), (1, 1, 'share', 2, null, now()), (1, 1, 'emergency', 1, 'unconscious', now() + interval '1 day')
         returning kind",
    );
    let file = place.root.join("clinic.backup");
    old.run(&["backup", file.to_str().expect("a path")]).expect_success("wrote");

    let new = place.data_dir("new");
    let told = new.run(&["restore", file.to_str().expect("a path")]).expect_success("restored");
    assert!(told.contains("(2 were live)"), "{told}");
    // Shares may be meant for good; emergency access is over, and waits for its review.
    assert!(told.contains(" 1 shares are live "), "{told}");
    let open = "select count(*) filter (where ended_at is null) || ' ' || count(*) from patient_grants where kind = 'emergency'";
    assert_eq!(new.sql(open), "0 1");
    // A token that was used after the backup was made would be good again.
    assert_eq!(new.sql("select count(hash)::text from one_time_tokens"), "0");
    assert!(told.contains("2 accounts are enabled") && told.ends_with("as admin: ann@example.org\n"), "{told}");
    assert_eq!(new.sql("select count(*)::text from sessions where ended_at is null and expires_at > now()"), "0");
    let recorded = "select count(*)::text from audit_trail where action = 'session_end' and resource = 'session' and actor_id is null";
    assert_eq!(new.sql(recorded), "2");
}

#[test]
fn a_backup_is_taken_while_others_write() {
    let place = Place::new("live");
    let data = place.data_dir("data");
    data.run(&["create-admin", "--email", "ann@example.org", "--name", "Ann"]).expect_success("created admin");
    let running = data.start();
    let mut client = Client::connect(running.connection_string(), NoTls).expect("a connection");
    let mut open = client.transaction().expect("a transaction");
    open.execute("insert into doctors (name, specialization, created_by) values ('Dr', 'X', 1)", &[]).expect("a row");
    let file = place.root.join("live.backup");
    let told = data.run(&["backup", file.to_str().expect("a path")]).expect_success("wrote");
    assert!(told.contains("doctors 0"), "the backup has no row that was not committed: {told}");
    open.commit().expect("a commit");
    drop(client);

    data.run(&["restore", file.to_str().expect("a path")]).expect_failure("stop it first");
    running.stop().expect("a stop");
}

#[test]
fn a_restore_never_replaces_records() {
    let place = Place::new("full");
    let data = place.data_dir("data");
    data.run(&["create-admin", "--email", "ann@example.org", "--name", "Ann"]).expect_success("created admin");
    let file = place.root.join("clinic.backup");
    let name = file.to_str().expect("a path");
    data.run(&["backup", name]).expect_success("wrote");
    data.run(&["backup", name]).expect_failure("exists already");
    data.run(&["restore", name]).expect_failure("holds records");
    assert_eq!(data.sql("select count(*)::text from users"), "1");

    // A cluster that has a schema but no records counts as empty.
    let started = place.data_dir("started");
    started.run(&["migrate"]).expect_success("applied");
    started.run(&["restore", name]).expect_success("restored");
    assert_eq!(started.sql("select email from users"), "ann@example.org");
}

#[test]
fn a_damaged_backup_restores_nothing() {
    let place = Place::new("damaged");
    let data = place.data_dir("data");
    data.run(&["create-admin", "--email", "ann@example.org", "--name", "Ann"]).expect_success("created admin");
    let file = place.root.join("clinic.backup");
    data.run(&["backup", file.to_str().expect("a path")]).expect_success("wrote");
    let whole = fs::read(&file).expect("the file");
    let new = place.data_dir("new");
    for (name, bytes) in [("cut", &whole[..whole.len() * 2 / 3]), ("text", b"not a backup at all"), ("empty", b"")] {
        let damaged = place.root.join(name);
        fs::write(&damaged, bytes).expect("a file");
        new.run(&["restore", damaged.to_str().expect("a path")]).expect_failure("is not a whole backup");
    }
    assert_eq!(new.sql("select count(*)::text from pg_class where relname = 'users'"), "0");
    new.run(&["restore", "/nowhere/at/all"]).expect_failure("cannot be read");
}

#[test]
fn a_database_that_is_not_private_is_left_to_its_own_tools() {
    let place = Place::new("own");
    let data = place.data_dir("data");
    for (command, tool) in [("backup", "pg_dump"), ("restore", "pg_restore")] {
        let output = data
            .command(&[command, "file"])
            .env("DATABASE_URL", "postgres://clinic@127.0.0.1:1/clinic")
            .env("JWT_SECRET", "a secret of the tests, 32 bytes or more")
            .output()
            .expect("the program");
        Said(output).expect_failure(tool);
        let usage = data.command(&[command]).output().expect("the program");
        assert_eq!(usage.status.code(), Some(2));
    }
    let help = data.run(&["help"]).expect_success("backup FILE");
    assert!(help.contains("restore FILE"));
}

/// A folder in the temp dir that PostgreSQL's user can enter, gone after the test.
struct Place {
    root: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let root = PathBuf::from(format!("/tmp/hcbackup-{}-{name}", std::process::id()));
        fs::create_dir(&root).expect("a folder in the temp dir");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("its mode");
        Place { root }
    }

    fn data_dir(&self, name: &str) -> DataDir {
        let path = self.root.join(name);
        // Made with its own settings: nothing here needs to survive a loss of power.
        PrivatePostgres::start(&path, &fast()).expect("a cluster").stop().expect("a stop");
        let conf = path.join("postgresql/postgresql.conf");
        let text = fs::read_to_string(&conf).expect("its settings");
        fs::write(&conf, text + "\nfsync = off\n").expect("its settings");
        DataDir { path }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.path().join("postgresql/postmaster.pid").exists() {
                drop(PrivatePostgres::start(&entry.path(), &Settings::default())); // takes over what a failed test left, and stops it
            }
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn fast() -> Settings {
    Settings { fsync: false, ..Settings::default() }
}

struct DataDir {
    path: PathBuf,
}

impl DataDir {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healthcare-backend"));
        command.args(arguments).current_dir(self.path.parent().unwrap_or(Path::new("/")));
        command.env_remove("DATABASE_URL").env("DATA_DIR", &self.path).env("RUST_LOG", "warn");
        command.env("BCRYPT_COST", "4").env("ALLOW_WEAK_HASHING", "1").stdin(Stdio::null());
        command
    }

    /// Runs the program; where it asks for a password, it gets one.
    fn run(&self, arguments: &[&str]) -> Said {
        let password = self.path.join("password.txt");
        fs::write(&password, "correct horse battery\n").expect("a file");
        let input = fs::File::open(&password).expect("a file");
        Said(self.command(arguments).stdin(input).output().expect("the program"))
    }

    fn start(&self) -> PrivatePostgres {
        PrivatePostgres::start(&self.path, &fast()).expect("a start")
    }

    fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).expect("a result")
    }

    /// The first column of the first row.
    fn try_sql(&self, sql: &str) -> Result<String, postgres::Error> {
        let running = self.start();
        let rows = Client::connect(running.connection_string(), NoTls).and_then(|mut client| client.query(sql, &[]));
        running.stop().expect("a stop");
        Ok(rows?.first().map(|row| row.get(0)).unwrap_or_default())
    }
}

struct Said(Output);

impl Said {
    #[track_caller]
    fn expect_success(self, part: &str) -> String {
        let (out, error) = (String::from_utf8_lossy(&self.0.stdout), String::from_utf8_lossy(&self.0.stderr));
        assert!(self.0.status.success() && out.contains(part), "{out}{error}");
        out.into_owned()
    }

    /// Exit code 1 and one line that has this part.
    #[track_caller]
    fn expect_failure(self, part: &str) {
        let (out, error) = (String::from_utf8_lossy(&self.0.stdout), String::from_utf8_lossy(&self.0.stderr));
        assert_eq!(self.0.status.code(), Some(1), "{out}{error}");
        assert!(error.contains(part) && error.lines().count() == 1, "{error}");
    }
}
