//! TLS to the database, against a PostgreSQL of its own and with authorities and certificates made on the spot: every
//! situation with every `sslmode`, as one table.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, error::Error, iter, process, thread};

use healthcare_backend::internals::DatabaseUrl;
use r2d2_postgres::PostgresConnectionManager;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

const PASSWORD: &str = "the password of this test";
/// The certificate names this; `127.0.0.1` reaches the same server under a name that it does not have.
const NAMED: &str = "host=localhost hostaddr=127.0.0.1";
const UNNAMED: &str = "host=127.0.0.1";

const ENCRYPTED: &str = "encrypted";
const PLAIN: &str = "plain";
const UNKNOWN: &str = "UnknownIssuer";
const OTHER_NAME: &str = "not valid for name";
const NO_TLS: &str = "server does not support TLS";

#[test]
fn every_situation_with_every_sslmode_is_what_libpq_means() {
    let with = Server::start(Offer::Signed);
    let without = Server::start(Offer::Nothing);
    let modes = |file: String| {
        let checked = |mode: &str| format!("sslmode={mode} sslrootcert='{file}'");
        let (prefer, require) = (checked("prefer"), checked("require"));
        let (chain, full) = (checked("verify-ca"), checked("verify-full"));
        ["sslmode=disable".to_owned(), prefer, "sslmode=require".to_owned(), require, chain, full]
    };
    #[rustfmt::skip]
    let table = [
        //                                                 disable prefer     require    with file  verify-ca  verify-full
        ("the right name", &with,    NAMED,   "known.pem", [PLAIN, ENCRYPTED, ENCRYPTED, ENCRYPTED, ENCRYPTED, ENCRYPTED]),
        ("the wrong name", &with,    UNNAMED, "known.pem", [PLAIN, ENCRYPTED, ENCRYPTED, ENCRYPTED, ENCRYPTED, OTHER_NAME]),
        ("the wrong CA",   &with,    NAMED,   "other.pem", [PLAIN, ENCRYPTED, ENCRYPTED, UNKNOWN,   UNKNOWN,   UNKNOWN]),
        ("no TLS offered", &without, NAMED,   "known.pem", [PLAIN, PLAIN,     NO_TLS,    NO_TLS,    NO_TLS,    NO_TLS]),
    ];
    for (situation, server, place, file, outcomes) in table {
        for (mode, expected) in modes(server.file(file)).iter().zip(outcomes) {
            let outcome = outcome(&server.text(&format!("{place} {mode}")));
            assert!(outcome.contains(expected), "{situation}, {mode}: {outcome} instead of {expected}");
        }
    }
}

#[test]
fn a_servers_own_certificate_may_be_the_file() {
    let server = Server::start(Offer::SelfMade);
    let file = server.file("server.crt");
    for mode in ["require", "verify-ca", "verify-full"] {
        let text = server.text(&format!("{NAMED} sslmode={mode} sslrootcert='{file}'"));
        assert_eq!(outcome(&text), ENCRYPTED, "{mode}");
    }
    let elsewhere = outcome(&server.text(&format!("{UNNAMED} sslmode=verify-full sslrootcert='{file}'")));
    assert!(elsewhere.contains(OTHER_NAME), "{elsewhere}");
    let other = server.file("other.pem");
    let unknown = outcome(&server.text(&format!("{NAMED} sslmode=verify-ca sslrootcert='{other}'")));
    assert!(unknown.contains(UNKNOWN), "{unknown}");
}

#[test]
fn sockets_channel_binding_urls_and_the_pool_work_too() {
    let server = Server::start(Offer::Signed);
    let known = server.file("known.pem");
    let full = format!("{NAMED} sslmode=verify-full sslrootcert='{known}'");

    // A socket has no wire to protect: every mode works on it, and none needs its file.
    let socket = format!("host='{}' sslmode=verify-full", server.directory.display());
    assert_eq!(outcome(&server.text(&socket)), PLAIN);

    // The login is bound to the session; without TLS there is nothing to bind it to.
    assert_eq!(outcome(&server.text(&format!("{full} channel_binding=require"))), ENCRYPTED);
    let unbound = outcome(&server.text(&format!("{NAMED} sslmode=disable channel_binding=require")));
    assert!(unbound.contains("channel binding"), "{unbound}");

    // The same as a URL, its path escaped, with a first host on which nobody listens.
    let url = format!(
        "postgres://postgres:{}@localhost:1,localhost:{}/postgres?hostaddr=127.0.0.1,127.0.0.1\
         &target_session_attrs=read-write&sslmode=verify-full&sslrootcert={}",
        PASSWORD.replace(' ', "%20"),
        server.port,
        known.replace('/', "%2F"),
    );
    assert_eq!(outcome(&url), ENCRYPTED);

    // And in the pool, which clones the connector for each connection.
    let url = DatabaseUrl::parse(&server.text(&full)).expect("a text that just worked");
    let manager = PostgresConnectionManager::new(url.config.into(), url.tls);
    let pool = r2d2::Pool::builder().max_size(2).build(manager).expect("a pool");
    let (mut first, mut second) = (pool.get().expect("one"), pool.get().expect("two"));
    assert!(is_encrypted(&mut first) && is_encrypted(&mut second));
}

#[test]
fn the_systems_store_counts_with_the_name() {
    let server = Server::start(Offer::Signed);
    let cases = [("known.pem", NAMED, ENCRYPTED), ("known.pem", UNNAMED, OTHER_NAME), ("other.pem", NAMED, UNKNOWN)];
    for (file, place, expected) in cases {
        // The store's place is a process's variable, so another process has to look.
        let answer = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "prints_what_becomes_of_a_text", "--ignored", "--nocapture"])
            .env("SSL_CERT_FILE", server.file(file))
            .env("DATABASE_TLS_TEXT", server.text(&format!("{place} sslrootcert=system")))
            .output()
            .expect("another process");
        let said = String::from_utf8_lossy(&answer.stdout);
        assert!(said.contains(expected), "{file}, {place}: {said}");
    }
}

#[test]
#[ignore = "the other process of the_systems_store_counts_with_the_name"]
#[expect(clippy::print_stdout, reason = "its answer")]
fn prints_what_becomes_of_a_text() {
    if let Ok(text) = env::var("DATABASE_TLS_TEXT") {
        println!("{}", outcome(&text));
    }
}

/// Connects and says how it went: [`ENCRYPTED`], [`PLAIN`], or the error with its causes.
fn outcome(text: &str) -> String {
    let url = DatabaseUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    match postgres::Config::from(url.config).connect(url.tls) {
        Ok(mut client) => (if is_encrypted(&mut client) { ENCRYPTED } else { PLAIN }).to_owned(),
        Err(error) => {
            let causes = iter::successors(error.source(), |&cause| cause.source());
            causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
        }
    }
}

/// What PostgreSQL itself says about the connection.
fn is_encrypted(client: &mut postgres::Client) -> bool {
    let row = client.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]);
    row.expect("a row about this connection").get(0)
}

/// What a server shows to those who ask it for TLS.
#[derive(PartialEq)]
enum Offer {
    Nothing,
    /// A certificate from an authority below the one in `known.pem`.
    Signed,
    /// A certificate that signed itself and may sign others, as a one-line command makes it.
    SelfMade,
}

/// A PostgreSQL in a directory of its own; both are gone with this value.
struct Server {
    directory: PathBuf,
    account: Option<(u32, u32)>,
    /// Nothing while the cluster is being made.
    process: Option<Child>,
    port: u16,
}

impl Server {
    fn start(offer: Offer) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("database-tls-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut server =
            Server { directory: env::temp_dir().join(name), account: unprivileged_account(), process: None, port: 0 };
        server.make(&offer);
        let tls = if offer == Offer::Nothing { "off" } else { "on" };
        // Somebody else may take the port between the lines that find and use it: another one then.
        let (port, process) = (0..5).find_map(|_| server.listen(tls)).expect("a server that starts");
        (server.port, server.process) = (port, Some(process));
        server
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn text(&self, settings: &str) -> String {
        format!("{settings} port={} user=postgres password='{PASSWORD}'", self.port)
    }

    /// Writes the certificates and the cluster.
    fn make(&self, offer: &Offer) {
        fs::create_dir(&self.directory).expect("a directory");
        write_certificates(&self.directory, offer);
        fs::write(self.file("password"), PASSWORD).expect("a file");
        if let Some((user, group)) = self.account {
            let files = fs::read_dir(&self.directory).expect("the directory");
            for path in files.map(|file| file.expect("a file").path()).chain([self.directory.clone()]) {
                chown(path, Some(user), Some(group)).expect("root may give files away");
            }
        }
        let made = program("initdb", self.account)
            .args(["--no-sync", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
            .args(["--pwfile", &self.file("password"), "--pgdata", &self.file("data")])
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts the server on a free port and waits until it says that it is ready; nothing if it ends before.
    fn listen(&self, tls: &str) -> Option<(u16, Child)> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let settings = [
            ("port", port.to_string()),
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", self.directory.display().to_string()),
            ("fsync", "off".to_owned()),
            ("ssl", tls.to_owned()),
            ("ssl_cert_file", self.file("server.crt")),
            ("ssl_key_file", self.file("server.key")),
        ];
        let mut process = program("postgres", self.account)
            .args(["-D", &self.file("data")])
            .args(settings.iter().map(|(name, value)| format!("--{name}={value}")))
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres");
        let mut log = BufReader::new(process.stderr.take().expect("its log")).lines().map_while(Result::ok);
        if log.any(|line| line.contains("ready to accept connections")) {
            // Its further lines must go somewhere, or it would stand still when the pipe is full.
            thread::spawn(move || log.for_each(drop));
            return Some((port, process));
        }
        let _ = process.wait();
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let mut stop = program("pg_ctl", self.account);
            let stopped = stop.args(["stop", "-s", "-m", "immediate", "-D", &self.file("data")]).status();
            if !stopped.is_ok_and(|status| status.success()) {
                let _ = process.kill();
            }
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Writes `server.crt`, `server.key`, `known.pem` (two authorities among other text, the right one last) and `other.pem`.
fn write_certificates(directory: &Path, offer: &Offer) {
    let key = || KeyPair::generate().expect("a key");
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root = CertifiedIssuer::self_signed(authority("The clinic's"), key()).expect("an authority");
    let other = CertifiedIssuer::self_signed(authority("Somebody else's"), key()).expect("an authority");
    let below = CertifiedIssuer::signed_by(authority("The clinic's, for servers"), key(), &root).expect("one below");

    let server_key = key();
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let shown = if *offer == Offer::SelfMade {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&server_key).expect("a certificate").pem()
    } else {
        params.signed_by(&server_key, &below).expect("a certificate").pem() + &below.pem()
    };
    let known = format!("Two authorities:\n\n{}\nand\n{}", other.pem(), root.pem());
    let files = [("server.crt", shown), ("server.key", server_key.serialize_pem()), ("known.pem", known)];
    for (name, text) in files.into_iter().chain([("other.pem", other.pem())]) {
        fs::write(directory.join(name), text).expect("a file");
    }
    fs::set_permissions(directory.join("server.key"), Permissions::from_mode(0o600)).expect("the key's mode");
}

/// One of PostgreSQL's programs, from the search path or from where Debian keeps them, newest first.
fn program(name: &str, account: Option<(u32, u32)>) -> Command {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    installed.sort();
    let search_path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&search_path).chain(installed.into_iter().rev());
    let found = places.map(|place| place.join(name)).find(|path| path.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| panic!("{name} is not installed")));
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    if let Some((user, group)) = account {
        command.uid(user).gid(group);
    }
    command
}

/// The account `postgres`, if this is root: PostgreSQL refuses to run as root.
fn unprivileged_account() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").expect("the accounts");
    let account = accounts.lines().find(|line| line.starts_with("postgres:")).expect("an account `postgres`");
    let mut numbers = account.split(':').skip(2).take(2).map(|number| number.parse().expect("a number"));
    Some((numbers.next()?, numbers.next()?))
}
