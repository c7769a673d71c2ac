//! The probes: what they need, what they say, and that they ask nobody for a token.

use crate::contract::check;
use crate::harness::{TestApp, eventually};

#[test]
fn the_process_answers_and_so_does_the_database() {
    let app = TestApp::start();
    for path in ["/healthz", "/readyz"] {
        let answer = app.anyone().get(path).expect(200, "success");
        check(&answer);
        assert!(answer.data().is_null());
    }
}

#[test]
fn a_database_without_its_schema_is_not_ready() {
    let app = TestApp::start();
    app.sql().batch_execute("delete from schema_migrations where version > 1").expect("an older schema");
    let answer = app.anyone().get("/readyz").expect(503, "failed");
    check(&answer);
    app.anyone().get("/healthz").expect(200, "success");
}

#[test]
fn a_newer_schema_is_ready_unless_it_says_that_no_older_program_can_serve() {
    let app = TestApp::start();
    app.sql().batch_execute("insert into schema_migrations (version, name) values (999, 'future')").expect("a step");
    app.anyone().get("/readyz").expect(200, "success");
    app.sql().batch_execute("update schema_migrations set breaks_older = true where version = 999").expect("a break");
    check(&app.anyone().get("/readyz").expect(503, "failed"));
}

#[test]
fn the_metrics_are_in_the_text_format_and_count_by_pattern() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("Ann's");
    for _ in 0..3 {
        ann.get(&format!("/api/patients/{patient}")).expect(200, "success");
    }
    let answer = app.anyone().get("/metrics");
    check(&answer);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = || String::from_utf8(app.anyone().get("/metrics").body).expect("text");
    // An answer is counted when it has been sent.
    eventually("three reads are counted", || {
        let line = r#"http_requests_total{method="GET",route="/api/patients/{id}",status="200"} 3"#;
        page().lines().any(|present| present == line)
    });
    let page = page();
    assert!(!page.contains(&format!("/api/patients/{patient}\"")) && !page.contains("Ann"), "nothing about a person");
    for line in page.lines() {
        let sample = line
            .split_once(' ')
            .is_some_and(|_| line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()));
        assert!(sample || line.starts_with("# HELP ") || line.starts_with("# TYPE "), "{line}");
    }
}
