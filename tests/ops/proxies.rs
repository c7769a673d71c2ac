//! nginx and Caddy in front, with the files of `deploy/`: only names, ports and certificates are other ones.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cluster::Folder;
use crate::deploy::deployed;
use crate::harness::{Person, TestApp, eventually};

/// A proxy that serves https://clinic.example on a port of this machine.
struct Proxy {
    child: Child,
    port: u16,
    authority: PathBuf,
    folder: Folder,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked to, for nginx: its worker ends with it.
        crate::processes::signal("-TERM", &[self.child.id()]);
        let _ = self.child.wait();
    }
}

/// The answer that came through the proxy.
#[derive(Debug)]
struct Answer {
    version: String,
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Expects this status and the envelope with this word, from the server or from the proxy.
    #[track_caller]
    fn expect(self, status: u16, word: &str) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["status"], word, "{self:?}");
        assert!(self.head.to_ascii_lowercase().contains("content-type: application/json"), "{self:?}");
        self
    }

    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|present| present.eq_ignore_ascii_case(line))
    }
}

impl Proxy {
    fn nginx(backend: SocketAddr) -> Proxy {
        let folder = Folder::new(&format!("nginx-{}", backend.port()));
        let (port, other) = (free_port(), free_port());
        let authority = make_certificate(&folder);
        let root = folder.0.display().to_string();
        let site = replace(
            &deployed("nginx.conf"),
            &[
                ("server 127.0.0.1:8080;", &format!("server {backend};")),
                ("    listen 80;\n    listen [::]:80;\n", &format!("    listen 127.0.0.1:{other};\n")),
                (
                    "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n",
                    &format!("    listen 127.0.0.1:{port} ssl http2;\n"),
                ),
                ("/etc/ssl/clinic.example.crt", &format!("{root}/clinic.crt")),
                ("/etc/ssl/clinic.example.key", &format!("{root}/clinic.key")),
            ],
        );
        folder.file("site.conf", &site);
        // What a distribution's nginx.conf has around such a file.
        let main = format!(
            "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log; events {{}}\n\
             http {{ access_log off; client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;\n\
             uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5; include {root}/site.conf; }}\n"
        );
        let main = folder.file("main.conf", &main);
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-c").arg(main).args(["-p", &root, "-e", &format!("{root}/error.log")]);
        Proxy::start(nginx, port, authority, folder)
    }

    fn caddy(backend: SocketAddr) -> Proxy {
        let folder = Folder::new(&format!("caddy-{}", backend.port()));
        let port = free_port();
        let authority = make_certificate(&folder);
        let root = folder.0.display().to_string();
        let site = replace(
            &deployed("Caddyfile"),
            &[
                (
                    "clinic.example {\n",
                    &format!(
                        "https://clinic.example:{port} {{\n\tbind 127.0.0.1\n\ttls {root}/clinic.crt {root}/clinic.key\n"
                    ),
                ),
                ("reverse_proxy 127.0.0.1:8080 {", &format!("reverse_proxy {backend} {{")),
            ],
        );
        let options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system ROOT/state\n}\n\n"
            .replace("ROOT", &root);
        let file = folder.file("Caddyfile", &(options + &site));
        let mut caddy = Command::new("/usr/bin/caddy");
        caddy
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(file)
            .env("HOME", &root)
            .env("XDG_CONFIG_HOME", &root);
        Proxy::start(caddy, port, authority, folder)
    }

    fn start(mut command: Command, port: u16, authority: PathBuf, folder: Folder) -> Proxy {
        let log = std::fs::File::create(folder.0.join("log")).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a proxy");
        let proxy = Proxy { child, port, authority, folder };
        eventually("the proxy", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        proxy
    }

    /// One request with curl, which trusts only the certificate's own authority.
    fn send(&self, method: &str, path: &str, arguments: &[&str], person: Option<&Person>) -> Answer {
        self.send_all(method, &[path], arguments, person).remove(0)
    }

    /// Several requests, on one connection where the proxy keeps it.
    fn send_all(&self, method: &str, paths: &[&str], arguments: &[&str], person: Option<&Person>) -> Vec<Answer> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(&self.authority);
        curl.args(["--resolve", &format!("clinic.example:{}:127.0.0.1", self.port), "--request", method]);
        curl.args(["--dump-header", "-", "--write-out", "\n--end of answer %{http_version} %{num_connects}--\n"]);
        if method == "HEAD" {
            curl.arg("--head");
        }
        if let Some(token) = person.and_then(|person| person.token.as_ref()) {
            curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        curl.args(arguments);
        curl.args(paths.iter().map(|path| format!("https://clinic.example:{}{path}", self.port)));
        // A proxy that is still passing on a body when the refusal of it arrives may cut the answer short (Caddy does, now and
        // then); curl calls that 18, and a client would ask again.
        let mut output = curl.output().expect("curl");
        for _ in 0..4 {
            if output.status.code() == Some(18) {
                output = curl.output().expect("curl");
            }
        }
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), self.log());
        let text = String::from_utf8(output.stdout).expect("text").replace("\r\n", "\n");
        let parts = text.split("--end of answer ");
        let mut answers: Vec<Answer> = Vec::new();
        for part in parts {
            // Each part ends with the version of the answer in the part before.
            let rest = match part.split_once("--\n") {
                Some((version, rest)) if !answers.is_empty() => {
                    answers.last_mut().expect("an answer").version = version.to_string();
                    rest
                }
                _ => part,
            };
            let Some((head, body)) = rest.split_once("\n\n") else { continue };
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            answers.push(Answer {
                version: String::new(),
                status,
                head: head.to_string(),
                body: body.trim().to_string(),
            });
        }
        answers
    }

    fn log(&self) -> String {
        ["log", "error.log"]
            .iter()
            .map(|name| std::fs::read_to_string(self.folder.0.join(name)).unwrap_or_default())
            .collect()
    }
}

#[test]
fn behind_nginx_everything_is_as_without_it() {
    everything_holds(Proxy::nginx);
}

#[test]
fn behind_caddy_everything_is_as_without_it() {
    everything_holds(Proxy::caddy);
}

fn everything_holds(proxy: fn(SocketAddr) -> Proxy) {
    let trusted = vec![healthcare_backend::Network::parse("127.0.0.1").expect("an address")];
    let app = TestApp::with(|config| config.trusted_proxies = trusted);
    let proxy = proxy(app.address);
    let ann = app.signed_up("ann");

    // TLS and HTTP/2 at the edge; the server's own headers arrive.
    let answer = proxy.send("GET", "/healthz", &[], None).expect(200, "success");
    assert!(answer.version.starts_with("2 "), "{answer:?}");
    assert!(answer.has("cache-control: no-store") && answer.has("x-content-type-options: nosniff"), "{answer:?}");
    assert!(answer.has("strict-transport-security: max-age=31536000"), "{answer:?}");
    assert!(answer.head.to_ascii_lowercase().contains("\nx-request-id: "), "{answer:?}");
    let plain = proxy.send("GET", "/healthz", &["--http1.1", "--header", "X-Request-Id: mine-1"], None);
    assert!(plain.version.starts_with("1.1 ") && plain.has("x-request-id: mine-1"), "{plain:?}");

    // Every method, conditional requests, bodies.
    let patient = r#"{"name": "Someone", "date_of_birth": "1990-04-23", "gender": "female"}"#;
    let body = ["--header", "Content-Type: application/json", "--data-binary"];
    let created =
        proxy.send("POST", "/api/patients", &[body[0], body[1], body[2], patient], Some(&ann)).expect(201, "created");
    let path = format!("/api/patients/{}", created.json()["data"]["id"]);
    assert!(created.has(&format!("location: {path}")), "{created:?}");
    let found = proxy.send("GET", &path, &[], Some(&ann)).expect(200, "success");
    let etag = found.head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("etag: ").map(str::to_string));
    let etag = etag.expect("an ETag that is still strong");
    assert!(etag.starts_with('"'), "{etag}");
    let condition = format!("If-None-Match: {etag}");
    assert_eq!(proxy.send("GET", &path, &["--header", &condition], Some(&ann)).status, 304);
    let change = [body[0], body[1], body[2], r#"{"phone": "12345"}"#];
    proxy.send("PATCH", &path, &change, Some(&ann)).expect(200, "updated");
    assert_eq!(proxy.send("HEAD", &path, &[], Some(&ann)).status, 200);
    proxy.send("DELETE", &path, &[], Some(&ann)).expect(200, "deleted");

    // Refusals are the server's own, in its own words.
    proxy.send("GET", "/api/patients", &[], None).expect(401, "forbidden");
    proxy.send("GET", "/nowhere", &[], None).expect(404, "failed");
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(400_000));
    let file = proxy.folder.file("long.json", &long);
    let long = format!("@{}", file.display());
    let refused = proxy.send("POST", "/api/patients", &[body[0], body[1], body[2], &long], Some(&ann));
    assert!(refused.expect(413, "invalid").json()["message"].as_str().expect("words").contains("262144"));
    // And where the proxy refuses, it says it as the server would.
    let file = proxy.folder.file("huge.json", &format!(r#"{{"name": "{}"}}"#, "x".repeat(3_000_000)));
    let huge = format!("@{}", file.display());
    proxy.send("POST", "/api/patients", &[body[0], body[1], body[2], &huge], Some(&ann)).expect(413, "invalid");

    the_client_is_known(&app, &proxy, &ann);
    connections_are_kept(&app, &proxy);

    // When the server is away, the clients get the envelope and are told when to come back.
    app.stop();
    let away = proxy.send("GET", "/healthz", &[], None).expect(503, "failed");
    assert!(away.has("retry-after: 2"), "{away:?}");
}

/// The address in the list of sessions is the client's, whatever the client claims.
fn the_client_is_known(app: &TestApp, proxy: &Proxy, ann: &Person) {
    let login = serde_json::json!({ "email": ann.email, "password": crate::harness::PASSWORD }).to_string();
    let claim = [
        "--header",
        "X-Forwarded-For: 203.0.113.9",
        "--header",
        "Content-Type: application/json",
        "--data-binary",
        &login,
    ];
    proxy.send("POST", "/api/auth/login", &claim, None).expect(200, "success");
    let row = app.sql().query_one("select host(ip) from sessions order by id desc limit 1", &[]).expect("a session");
    assert_eq!(row.get::<_, &str>(0), "127.0.0.1");
}

/// Many requests of one client are one connection, and so they are from the proxy to the server.
fn connections_are_kept(app: &TestApp, proxy: &Proxy) {
    let accepted = || {
        let page = String::from_utf8(app.anyone().get("/metrics").body).expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix("http_connections_total "));
        line.expect("a number").parse::<u64>().expect("a number")
    };
    let before = accepted();
    let answers = proxy.send_all("GET", &["/healthz"; 20], &[], None);
    assert_eq!(answers.len(), 20);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(answers.iter().filter(|answer| answer.version.ends_with(" 1")).count(), 1, "{answers:?}");
    // One for asking, and at most a few of the proxy's pool.
    let opened = accepted() - before;
    assert!(opened <= 4, "{opened} connections for 20 requests");
}

/// The paths that the files of `deploy/` close to other machines.
const GUARDED: [&str; 1] = ["/metrics"];

/// Ways to write a path that a proxy or the server might take for the same.
fn spellings(path: &str) -> Vec<String> {
    let name = &path[1..];
    let first = name.as_bytes()[0];
    vec![
        path.to_string(),
        format!("{path}/"),
        format!("{path}?x"),
        format!("{path}/?x"),
        format!("/{path}"),
        format!("{path}//"),
        format!("/%{first:02x}{}", &name[1..]),
        format!("/%{first:02X}{}/", &name[1..]),
        format!("/%25{first:02x}{}", &name[1..]),
        format!("/%2f{name}"),
        format!("/%2F{name}/"),
        format!("{path}%2f"),
        format!("{path}%2F?x"),
        format!("/.{path}"),
        format!("/api/..{path}"),
        format!("/api/%2e%2e{path}"),
        format!("{path}/."),
        format!("{path}/x/.."),
        format!("{path};x"),
        format!("{path}%20"),
        format!("{path}%00"),
        path.to_ascii_uppercase(),
        format!("{}/", path.to_ascii_uppercase()),
    ]
}

#[test]
fn a_guarded_path_is_closed_to_strangers_however_it_is_written() {
    let app = TestApp::start();
    // The rule is about the client's address: this one belongs to the machine as well, and is not the one that may read.
    let stranger = ["--interface", "127.0.0.2", "--path-as-is"];
    for proxy in [Proxy::nginx(app.address), Proxy::caddy(app.address)] {
        for guarded in GUARDED {
            let open = proxy.send("GET", guarded, &[], None);
            assert_eq!((open.status, open.body.is_empty()), (200, false), "{open:?}");
            for (method, version) in [("GET", "--http2"), ("GET", "--http1.1"), ("HEAD", "--http1.1")] {
                for path in spellings(guarded) {
                    let answer = proxy.send(method, &path, &[&stranger[..], &[version]].concat(), None);
                    let shut = matches!(answer.status, 400 | 403 | 404) && !answer.body.contains("# TYPE ");
                    assert!(shut, "{method} {path}: {answer:?}");
                }
            }
            for path in [guarded.to_string(), format!("{guarded}/"), format!("{guarded}/?x")] {
                proxy.send("GET", &path, &stranger, None).expect(403, "forbidden");
            }
        }
    }
}

/// The same text with other values in it; each must have been there.
fn replace(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_string(), |text, (old, new)| {
        assert!(text.contains(old), "the file has no {old:?} any more");
        text.replace(old, new)
    })
}

/// A certificate for clinic.example that is its own authority.
fn make_certificate(folder: &Folder) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(vec!["clinic.example".to_string()]).expect("a certificate");
    folder.file("clinic.key", &made.signing_key.serialize_pem());
    folder.file("clinic.crt", &made.cert.pem())
}

/// A port that was free a moment ago; these programs cannot be asked which one they took.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}
