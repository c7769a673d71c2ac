//! What an operator sees: `/metrics` as Prometheus reads it, and log lines as a collector parses them.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use healthcare_backend::internals::connections_needed;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Folder};
use crate::harness::{TestApp, eventually, http};
use crate::node::Node;

/// The page, after requests of every sort.
fn page_of(app: &TestApp) -> String {
    let ann = app.signed_up("ann");
    ann.new_patient("Someone");
    ann.get("/api/patients").expect(200, "success");
    ann.get("/api/patients/1/nothing").expect(404, "failed");
    app.anyone().get("/api/patients").expect(401, "forbidden");
    app.anyone()
        .post("/api/auth/login", json!({ "email": ann.email, "password": "not this one" }))
        .expect(401, "invalid");
    http::raw(app.address, b"NONSENSE\r\n\r\n", false);
    let answer = app.anyone().get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    String::from_utf8(answer.body).expect("text")
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let page = page_of(&TestApp::start());
    let mut promtool = Command::new("promtool");
    let promtool =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool");
    child.stdin.take().expect("its input").write_all(page.as_bytes()).expect("the page");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_metrics_tell_what_happened() {
    let app = TestApp::start();
    let page = page_of(&app);
    let value = |sample: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in {page}")).parse::<f64>().expect("a number")
    };
    let route = r#"method="GET",route="/api/patients""#;
    assert_eq!(value(&format!("http_requests_total{{{route},status=\"200\"}}")), 1.0);
    assert_eq!(value(&format!("http_requests_total{{{route},status=\"401\"}}")), 1.0);
    assert_eq!(value(&format!("http_request_duration_seconds_count{{{route}}}")), 2.0);
    assert_eq!(value(&format!("http_request_duration_seconds_bucket{{{route},le=\"+Inf\"}}")), 2.0);
    assert!(value(&format!("http_request_duration_seconds_sum{{{route}}}")) > 0.0);
    assert_eq!(value(r#"logins_total{result="ok"}"#), 1.0);
    assert_eq!(value(r#"logins_total{result="failed"}"#), 1.0);
    assert_eq!(value(r#"logins_total{result="locked"}"#), 0.0);
    assert_eq!(value(r#"http_requests_refused_total{cause="request_line"}"#), 1.0);
    assert_eq!(value("http_requests_in_flight"), 1.0, "this one");
    assert!(value("http_connections_open") >= 1.0);
    assert!(value("http_connections_total") >= 8.0);
    // The harness asks for five connections and three workers; more cores need more.
    assert_eq!(value(r#"database_pool_connections{state="max"}"#), connections_needed(3).max(5) as f64);
    assert!(value(r#"database_pool_connections{state="idle"}"#) >= 1.0);
    assert_eq!(value(r#"database_pool_connections{state="used"}"#), 0.0);
    for sample in
        ["hashing_queue_length", "hashing_refused_total", "database_pool_waiting", "database_pool_timeouts_total"]
    {
        assert_eq!(value(sample), 0.0, "{sample}");
    }
    assert!(value("audit_buffered_entries") >= 0.0);
    assert_eq!(value(concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")), 1.0);
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!((now - value("process_start_time_seconds")).abs() < 120.0);
}

#[test]
fn no_client_can_add_a_series() {
    let app = TestApp::start();
    let names = |page: &str| -> HashSet<String> {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_string())).collect()
    };
    let visit = |number: usize| {
        let anyone = app.anyone();
        anyone.get(&format!("/nowhere/{number}"));
        anyone.get(&format!("/api/patients/{number}?x={number}"));
        anyone.send(
            "GET",
            "/healthz",
            &[("X-Request-Id", &format!("id-{number}")), ("User-Agent", &format!("{number}"))],
            None,
        );
        http::send(app.address, &format!("VERB{number}"), "/", &[], None);
        anyone
            .post("/api/auth/login", json!({ "email": format!("{number}@example.org"), "password": "wrong password" }));
        String::from_utf8(anyone.get("/metrics").body).expect("text")
    };
    visit(0);
    let before = names(&visit(1));
    for number in 2..30 {
        visit(number);
    }
    assert_eq!(names(&visit(30)), before);
}

#[test]
fn json_log_lines_parse_back_and_say_nothing_about_a_person() {
    let folder = Folder::new("json");
    let cluster = Cluster::start(&folder, "data", &[]);
    let database = cluster.connection_string().to_string() + " password=a-secret-password";
    let mut node =
        Node::start(&[("DATABASE_URL", &database), ("LOG_FORMAT", "json"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let ann = node.signed_up("ann.surname");
    let id = ann.new_patient("Jane \"Quote\" Doe");
    let request = format!("/api/patients/{id}?name=Jane");
    ann.send("GET", &request, &[("X-Request-Id", "mine"), ("X-Forwarded-For", "192.0.2.7")], None);
    ann.send(
        "GET",
        &format!("/api/patients/{id}"),
        &[("X-Request-Id", "mine-2"), ("X-Forwarded-For", "192.0.2.7")],
        None,
    );
    node.anyone().get("/%0A%22newline");
    node.stop();

    let lines: Vec<Value> = node
        .lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let time: jiff::Timestamp = line["time"].as_str().expect("a time").parse().expect("RFC 3339");
        assert!(time <= jiff::Timestamp::now());
        assert!(["info", "warn", "error"].contains(&line["level"].as_str().expect("a level")));
        assert!(line["target"].is_string());
    }
    let start = lines[0]["message"].as_str().expect("the start line");
    assert!(
        start.starts_with("starting: ") && start.contains("workers=3") && start.contains("jwt_secret=***"),
        "{start}"
    );
    assert!(start.contains("trusted_proxies=1"), "{start}");
    let mine = lines.iter().find(|line| line["id"] == "mine-2").expect("the line of a request");
    assert_eq!((mine["method"].as_str(), mine["route"].as_str()), (Some("GET"), Some("/api/patients/{id}")));
    assert_eq!((mine["status"].as_i64(), mine["user_id"].as_i64()), (Some(200), Some(ann.id)));
    assert_eq!(mine["address"], "192.0.2.7");
    assert!(mine["ms"].as_f64().expect("milliseconds") > 0.0);
    let requests = lines.iter().filter(|line| line["target"] == "request");
    assert!(requests.clone().all(|line| line["id"].as_str().is_some_and(|id| !id.is_empty())));
    assert_eq!(requests.count(), 6, "one line a request");

    let all = node.lines().join("\n");
    for secret in
        ["Jane", "surname", "a-secret-password", crate::harness::PASSWORD, crate::harness::app::SECRET, "newline"]
    {
        assert!(!all.contains(secret), "{secret} is in {all}");
    }
    assert!(!all.contains(ann.token.as_deref().expect("a token")));
}

#[test]
fn a_slow_request_is_warned_of_with_its_route_and_time() {
    let folder = Folder::new("slow");
    let cluster = Cluster::start(&folder, "data", &[]);
    let node = Node::start(&[("DATABASE_URL", cluster.connection_string())]);
    let ann = node.signed_up("ann");
    let id = ann.new_patient("Someone");
    let mut blocker = cluster.connect();
    let mut blocked = blocker.transaction().expect("a transaction");
    blocked.execute("select from patients for update", &[]).expect("a lock");
    std::thread::scope(|scope| {
        let change = scope.spawn(|| ann.patch(&format!("/api/patients/{id}"), json!({ "phone": "12345" })));
        // The lock goes when PostgreSQL itself says that it has been waited for long enough.
        let waited = "select count(*)::text from pg_locks where not granted and waitstart < now() - interval '1.1 s'";
        eventually("a long wait", || cluster.ask(waited) == "1");
        blocked.commit().expect("a commit");
        change.join().expect("an answer").expect(200, "updated");
    });
    eventually("the warning", || node.lines_with(" slow: ").len() == 1);
    let line = node.lines_with(" slow: ").remove(0);
    assert!(
        line.contains(" warn ") && line.contains("PATCH /api/patients/{id} took 1") && line.contains(" ms (request "),
        "{line}"
    );
}

#[test]
fn listening_to_the_world_without_a_proxy_is_one_warning() {
    let folder = Folder::new("world");
    let cluster = Cluster::start(&folder, "data", &[]);
    let database = cluster.connection_string();
    let exposed = Node::start(&[("DATABASE_URL", database), ("HOST", "0.0.0.0")]);
    eventually("the warning", || !exposed.lines_with(" warn ").is_empty());
    let warnings = exposed.lines_with(" warn ");
    assert!(warnings.len() == 1 && warnings[0].contains("reachable from other machines without TLS"), "{warnings:#?}");
    let behind = Node::start(&[("DATABASE_URL", database), ("HOST", "0.0.0.0"), ("TRUSTED_PROXIES", "10.0.0.0/8")]);
    assert!(behind.lines_with(" warn ").is_empty(), "{:#?}", behind.lines());
    // The metrics can still be read by a client that may connect.
    assert!(TcpStream::connect(("127.0.0.1", behind.address.port())).is_ok());
}
