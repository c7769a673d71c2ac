//! Why the audit trail can be trusted: it has every account event, a change and its entry come together or not at all, it holds no
//! secrets, and it cannot be changed.

use serde_json::{Value, json};

use crate::harness::app::SECRET;
use crate::harness::{PASSWORD, Person, TestApp, eventually};

const NEW_PASSWORD: &str = "a new pass phrase";

/// Every entry as text.
fn trail(app: &TestApp) -> Vec<String> {
    let rows = app.sql().query("select to_jsonb(audit_trail)::text from audit_trail order by id", &[]);
    rows.expect("entries").iter().map(|row| row.get(0)).collect()
}

/// Each account event in turn; what happened, and what the trail must say of it: action, actor, resource and id.
fn account_events(app: &TestApp) -> Vec<(&'static str, Option<i64>, &'static str, Option<i64>)> {
    let root = app.admin("root");
    let ann = app.signed_up("ann");
    let (user, by_ann, by_root) = (Some(ann.id), Some(ann.id), Some(root.id));
    let path = format!("/api/admin/users/{}", ann.id);
    let mut expected = vec![("register", by_ann, "user", user), ("login", by_ann, "session", Some(ann.session_id()))];

    let lost = app.logged_in(&ann.email, PASSWORD);
    expected.push(("login", by_ann, "session", Some(lost.session_id())));
    ann.delete(&format!("/api/auth/sessions/{}", lost.session_id())).expect(200, "deleted");
    expected.push(("session_end", by_ann, "session", Some(lost.session_id())));

    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    let ann = ann.with_new_password(PASSWORD, NEW_PASSWORD);
    expected.push(("login", by_ann, "session", Some(elsewhere.session_id())));
    expected.push(("password_change", by_ann, "user", user));
    expected.push(("session_end", by_ann, "session", Some(elsewhere.session_id())));

    app.login("nobody@example.org", "typed password").expect(401, "invalid");
    expected.push(("login_failed", None, "user", None));
    for _ in 0..10 {
        app.login(&ann.email, "typed password").expect(401, "invalid");
        expected.push(("login_failed", None, "user", user));
    }
    expected.push(("lock", None, "user", user));
    root.send("POST", &format!("{path}/unlock"), &[], None).expect(200, "updated");
    expected.push(("unlock", by_root, "user", user));

    ann.refresh().expect(200, "success");
    app.sql()
        .execute("update refresh_tokens set used_at = now() - interval '1 hour' where used_at is not null", &[])
        .expect("old");
    ann.refresh().expect(401, "forbidden");
    expected.push(("refresh_reuse", by_ann, "session", Some(ann.session_id())));
    expected.push(("session_end", by_ann, "session", Some(ann.session_id())));

    for (change, action) in [(json!({ "role": "admin" }), "role_change"), (json!({ "role": "user" }), "role_change")] {
        root.patch(&path, change).expect(200, "updated");
        expected.push((action, by_root, "user", user));
    }
    let again = app.logged_in(&ann.email, NEW_PASSWORD);
    again.send("POST", "/api/auth/logout", &[], None).expect(200, "success");
    expected.push(("login", by_ann, "session", Some(again.session_id())));
    expected.push(("logout", by_ann, "session", Some(again.session_id())));

    let last = app.logged_in(&ann.email, NEW_PASSWORD);
    root.patch(&path, json!({ "disabled": true })).expect(200, "updated");
    app.login(&ann.email, NEW_PASSWORD).expect(401, "invalid");
    root.patch(&path, json!({ "disabled": false, "role": "admin" })).expect(200, "updated");
    expected.push(("login", by_ann, "session", Some(last.session_id())));
    expected.push(("disable", by_root, "user", user));
    expected.push(("session_end", by_root, "session", Some(last.session_id())));
    expected.push(("login_failed", None, "user", user));
    expected.push(("role_change", by_root, "user", user));
    expected.push(("enable", by_root, "user", user));

    let swept = app.logged_in(&ann.email, NEW_PASSWORD);
    root.delete(&format!("{path}/sessions")).expect(200, "deleted");
    expected.push(("login", by_ann, "session", Some(swept.session_id())));
    expected.push(("session_end", by_root, "session", Some(swept.session_id())));
    expected
}

#[test]
fn every_account_event_is_there_once() {
    let app = TestApp::start();
    let mut expected = account_events(&app);
    // Without the event that made the admin, which this test is not about.
    let query = "select action, actor_id, resource, resource_id from audit_trail order by id offset 3";
    let rows = app.sql().query(query, &[]).expect("entries");
    let mut found: Vec<(String, Option<i64>, String, Option<i64>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    found.sort();
    expected.sort();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(action, actor, resource, id)| (action.to_string(), actor, resource.to_string(), id))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_changed_account_is_recorded_as_it_was_and_without_its_hash() {
    let app = TestApp::start();
    account_events(&app);
    for (action, field, was) in [("role_change", "role", json!("user")), ("disable", "disabled", json!(false))] {
        let before = &app.audited(action)[0]["before"];
        assert_eq!(before[field], was);
        let mut names: Vec<&String> = before.as_object().expect("a record").keys().collect();
        names.sort();
        assert_eq!(
            names,
            [
                "created_at",
                "disabled",
                "email",
                "id",
                "invited",
                "may_break_glass",
                "name",
                "role",
                "totp",
                "updated_at"
            ]
        );
    }
}

#[test]
fn the_trail_holds_no_secrets() {
    let app = TestApp::start();
    account_events(&app);
    let bob = app.signed_up("bob");
    let renewed = bob.with_pair(&bob.refresh().expect(200, "success").data());
    renewed.delete(&format!("/api/patients/{}", renewed.new_patient("P"))).expect(200, "deleted");
    bob.post("/api/auth/refresh", json!({ "refresh_token": "made up token" })).expect(401, "forbidden");
    // A password in the place of the address is a common slip.
    app.login("secret in the wrong field", "typed password").expect(401, "invalid");
    let mut secrets: Vec<String> =
        [PASSWORD, NEW_PASSWORD, SECRET, "typed password", "secret in the wrong field", "made up token", "$2b$", "eyJ"]
            .map(String::from)
            .to_vec();
    for person in [&bob, &renewed] {
        secrets.extend([person.refresh_token.clone(), person.token.clone().expect("a token")]);
    }
    let root = app.admin("another-root");
    for _ in 0..2 {
        secrets.push(root.reset_token(bob.id));
        app.anyone().reset(secrets.last().expect("a token"), NEW_PASSWORD).expect(200, "updated");
    }
    secrets.push(root.reset_token(bob.id));
    let cid = app.signed_up("cid");
    let totp = cid.try_totp().expect("a second factor");
    secrets.extend(cid.confirm(&totp));
    secrets.push(totp.secret);
    let login = json!({ "email": cid.email, "password": PASSWORD, "code": secrets[secrets.len() - 2] });
    app.anyone().post("/api/auth/login", login).expect(200, "success");
    let hashes = "select password_hash from users union all select encode(hash, 'hex') from refresh_tokens
                   union all select encode(hash, 'hex') from one_time_tokens where hash is not null
                   union all select encode(hash, 'hex') from recovery_codes
                   union all select encode(secret, 'hex') from totp_secrets";
    secrets.extend(app.sql().query(hashes, &[]).expect("hashes").iter().map(|row| row.get::<_, String>(0)));
    let database = app.database.clone();
    app.stop();
    let rows = crate::harness::postgres::connect(&database)
        .query("select to_jsonb(audit_trail)::text from audit_trail", &[])
        .expect("entries");
    assert!(rows.len() > 40);
    for row in rows {
        let entry: String = row.get(0);
        let leaked = secrets.iter().find(|secret| entry.contains(secret.as_str()));
        assert_eq!(leaked, None, "{entry}");
    }
}

#[test]
fn the_table_refuses_every_change() {
    let app = TestApp::start();
    app.signed_up("ann").get("/api/patients").expect(200, "success");
    eventually("the list in the trail", || app.audited("list").len() == 1);
    let before = trail(&app);
    assert!(!before.is_empty());
    for statement in [
        "update audit_entries set actor_id = null",
        "update audit_entries set outcome = 'failed' where id = 1",
        "delete from audit_entries",
        "delete from audit_entries where id = 1",
        "truncate audit_entries",
        "truncate audit_entries restart identity cascade",
        "update audit_batches set actor_id = '{1}'",
        "update audit_batches set action = 'read' where action = 'list'",
        "delete from audit_batches",
        "delete from audit_batches where cardinality(at) = 1",
        "truncate audit_batches",
        "truncate audit_entries, audit_batches",
        "update audit_batch_actors set actor_id = 1",
        "delete from audit_batch_actors",
        "truncate audit_batch_actors",
    ] {
        let refused = app.sql().batch_execute(statement).expect_err(statement);
        let message = refused.as_db_error().expect("PostgreSQL's own words").message().to_string();
        assert_eq!(message, "audit entries are never changed or removed", "{statement}");
    }
    assert_eq!(trail(&app), before);
}

/// Every change must be recorded: if that fails, nothing changes.
#[test]
fn a_change_that_cannot_be_recorded_does_not_happen() {
    // Reads wait in the buffer for ever here, and so would the end of the test.
    let app = TestApp::with(|config| config.audit_reads = false);
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let (free, mapping) = (ann.new_doctor("Free"), ann.new_mapping(patient, doctor));
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    let token = root.reset_token(ann.id);
    ann.refresh().expect(200, "success");
    app.login(&ann.email, "not the password").expect(401, "invalid");
    let mut sql = app.sql();
    sql.execute("update refresh_tokens set used_at = now() - interval '1 hour' where used_at is not null", &[])
        .expect("old");
    sql.batch_execute(
        "create function fail() returns trigger language plpgsql as $$ begin raise exception 'no room'; end $$;
         create trigger fail before insert on audit_entries for each row execute function fail()",
    )
    .expect("a trigger");

    let state = "select jsonb_build_array((select jsonb_agg(to_jsonb(t) order by id) from users t),
            (select jsonb_agg(to_jsonb(t) order by id) from sessions t), (select count(*) from refresh_tokens),
            (select jsonb_agg(to_jsonb(t) order by id) from patients t), (select jsonb_agg(to_jsonb(t) order by id) from doctors t),
            (select jsonb_agg(to_jsonb(t) order by id) from mappings t), (select count(*) from login_failures),
            (select jsonb_agg(to_jsonb(t)) from one_time_tokens t))";
    let before: Value = sql.query_one(state, &[]).expect("the state").get(0);
    let user = format!("/api/admin/users/{}", ann.id);
    let person = json!({ "name": "N", "email": "new@example.org", "password": PASSWORD });
    let a_patient = json!({ "name": "N", "date_of_birth": "1990-04-23", "gender": "female" });
    let pair = json!({ "patient_id": patient, "doctor_id": free });
    let passwords = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let login = json!({ "email": ann.email, "password": PASSWORD });
    let reused = json!({ "refresh_token": ann.refresh_token });
    let other_session = format!("/api/auth/sessions/{}", elsewhere.session_id());
    let changes: Vec<(&Person, &str, String, Option<Value>)> = vec![
        (&ann, "POST", "/api/auth/register".into(), Some(person)),
        (&ann, "POST", "/api/auth/login".into(), Some(login)),
        (&ann, "POST", "/api/auth/refresh".into(), Some(reused)),
        (&ann, "POST", "/api/auth/logout".into(), None),
        (&ann, "DELETE", other_session, None),
        (&ann, "POST", "/api/patients".into(), Some(a_patient)),
        (&ann, "PATCH", format!("/api/patients/{patient}"), Some(json!({ "name": "N" }))),
        (&ann, "DELETE", format!("/api/patients/{patient}"), None),
        (&ann, "POST", "/api/doctors".into(), Some(json!({ "name": "N", "specialization": "S" }))),
        (&ann, "PATCH", format!("/api/doctors/{doctor}"), Some(json!({ "name": "N" }))),
        (&ann, "DELETE", format!("/api/doctors/{free}"), None),
        (&root, "DELETE", format!("/api/admin/doctors/{doctor}?cascade=true"), None),
        (&ann, "POST", "/api/mappings".into(), Some(pair)),
        (&ann, "PATCH", format!("/api/mappings/{mapping}"), Some(json!({ "notes": "N" }))),
        (&ann, "DELETE", format!("/api/mappings/{mapping}"), None),
        (&root, "PATCH", user.clone(), Some(json!({ "role": "admin" }))),
        (&root, "PATCH", user.clone(), Some(json!({ "disabled": true }))),
        (&ann, "PATCH", "/api/auth/me".into(), Some(json!({ "name": "N" }))),
        (&ann, "POST", "/api/auth/reset".into(), Some(json!({ "token": token, "new_password": NEW_PASSWORD }))),
        (&root, "POST", "/api/admin/users".into(), Some(json!({ "name": "N", "email": "made@example.org" }))),
        (&root, "POST", format!("{user}/reset"), None),
        (&root, "POST", format!("{user}/unlock"), None),
        (&root, "DELETE", format!("{user}/sessions"), None),
    ];
    for (person, method, target, body) in changes {
        let answer = person.send(method, &target, &[("X-Request-Id", "the-id")], body);
        assert_eq!(answer.status, 500, "{method} {target}: {}", String::from_utf8_lossy(&answer.body));
        assert!(
            answer.json()["message"]
                .as_str()
                .is_some_and(|message| message.contains("the-id") && !message.contains("room"))
        );
        let after: Value = sql.query_one(state, &[]).expect("the state").get(0);
        assert_eq!(after, before, "{method} {target}");
    }
    // The right password forgets the failures, which are no record; the password stays.
    ann.post("/api/auth/password", passwords).expect(500, "failed");
    let users = "select jsonb_agg(to_jsonb(t) order by id) from users t";
    assert_eq!(sql.query_one(users, &[]).expect("the users").get::<_, Value>(0), before[0]);
    // Nor is an account locked without a trace.
    for _ in 0..20 {
        app.login(&ann.email, "not the password").expect(500, "failed");
    }
    let locks = "select count(*) from login_failures where locked_until is not null";
    assert_eq!(sql.query_one(locks, &[]).expect("a count").get::<_, i64>(0), 0);
    sql.batch_execute("drop trigger fail on audit_entries").expect("no trigger");
    ann.get("/api/auth/me").expect(200, "success");
    ann.new_patient("And on it goes");
}
