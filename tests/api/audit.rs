//! The audit trail as an admin lists it, and what is in it: every change, account event, read, list and refusal; no secrets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Person, TestApp, eventually};

/// Waits until this many entries of an action are there: reads and refusals arrive in batches.
fn entries(app: &TestApp, action: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    eventually(action, || {
        found = app.audited(action);
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{action}: {found:?}");
    found
}

/// Who did it, to which kind of record, with which id, and how it ended.
fn gist(entry: &Value) -> (Option<i64>, &str, Option<i64>, &str) {
    let text = |name: &str| entry[name].as_str().expect("a text");
    (entry["actor_id"].as_i64(), text("resource"), entry["resource_id"].as_i64(), text("outcome"))
}

fn named(method: &str, person: &Person, target: &str, request_id: &str, body: Value) {
    let answer = person.send(method, target, &[("X-Request-Id", request_id)], Some(body));
    assert!(answer.status < 300, "{}", String::from_utf8_lossy(&answer.body));
}

#[test]
fn the_list_is_for_admins_newest_first_and_continues_before_an_id() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    for number in 0..5 {
        ann.new_doctor(&format!("{number}"));
    }
    ann.get("/api/admin/audit").expect(403, "forbidden");
    entries(&app, "denied", 1);
    let mut expected: Vec<i64> = root.get("/api/admin/audit").expect(200, "success").ids();
    assert!(expected.len() > 8 && expected.is_sorted_by(|newer, older| newer > older), "{expected:?}");
    let mut pages = vec![root.get("/api/admin/audit?limit=3").expect(200, "success")];
    while let Some(next) = pages.last().and_then(|page| page.next()) {
        assert!(next.contains("limit=3") && next.contains("before="), "{next}");
        ann.new_doctor("New entries do not shift the pages");
        pages.push(root.get(&next).expect(200, "success"));
    }
    assert_eq!(pages.iter().flat_map(|page| page.ids()).collect::<Vec<_>>(), expected);
    assert!(pages[..pages.len() - 1].iter().all(|page| page.ids().len() == 3));
    let third = expected[2];
    expected.drain(..3);
    assert_eq!(root.get(&format!("/api/admin/audit?before={third}")).expect(200, "success").ids(), expected);
    let bad = root.get(
        "/api/admin/audit?after=1&before=0&limit=0&action=x&resource=x&actor_id=x&resource_id=x&from=x&until=2026",
    );
    assert_eq!(
        bad.expect(400, "invalid").fields(),
        ["after", "limit", "before", "actor_id", "action", "resource", "resource_id", "from", "until"]
    );
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        root.send(method, "/api/admin/audit", &[], None).expect(405, "failed");
    }
}

#[test]
fn filters_find_what_they_name() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann"), app.signed_up("bob"));
    let (patient, other) = (ann.new_patient("P"), ann.new_patient("Q"));
    bob.new_patient("R");
    ann.get(&format!("/api/patients/{patient}")).expect(200, "success");
    ann.get("/api/patients").expect(200, "success");
    entries(&app, "list", 1);
    let found = |query: &str| {
        let data = root.get(&format!("/api/admin/audit?{query}")).expect(200, "success").data();
        let list = data.as_array().expect("a list").clone();
        list.iter().map(|entry| entry["action"].as_str().expect("an action").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(&format!("actor_id={}", bob.id)), ["create", "login", "register"]);
    assert_eq!(found("action=create").len(), 3);
    assert_eq!(found("action=create&resource=patient&actor_id=1"), Vec::<String>::new());
    assert_eq!(
        found(&format!("resource=patient&resource_id={patient}")),
        ["list", "read", "create"],
        "lists count as well"
    );
    assert_eq!(found(&format!("resource=patient&resource_id={other}")), ["list", "create"]);
    assert_eq!(found(&format!("resource=patient&resource_id={patient}&action=read")), ["read"]);
    let actions = "register login login_failed lock unlock logout session_end refresh_reuse password_change password_reset \
                   reset_issue totp_change profile_change role_change disable enable create update delete undelete read list \
                   denied share unshare transfer emergency emergency_read emergency_review";
    for action in actions.split_whitespace() {
        found(&format!("action={action}"));
    }
    for resource in "user session patient doctor mapping care_group grant audit".split_whitespace() {
        found(&format!("resource={resource}"));
    }
}

#[test]
fn a_period_begins_with_its_first_moment_and_ends_before_its_last() {
    let app = TestApp::start();
    // Written before everything else, as their times are.
    app.sql()
        .batch_execute(
            "insert into audit_entries (at, action, resource, resource_id)
             select timestamptz '2020-02-28T22:00:00.000001Z' + n * interval '1 hour', 'unlock', 'user', n
               from generate_series(0, 4) n;
             insert into audit_batches (action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
             select 'read', 'patient', array_agg(timestamptz '2020-02-29T02:59:59.999999Z' + n * interval '1 microsecond'),
                    array_agg(1::bigint), array_agg(n::bigint), array_agg(null::text), array_agg(null::inet),
                    array_agg(null::text), array_agg(n::bigint) from generate_series(5, 8) n;
             insert into audit_batch_actors select 1, id from audit_batches;",
        )
        .expect("entries of another year");
    let root = app.admin("root");
    root.new_doctor("D");
    let found = |query: &str| -> Vec<Value> {
        let mut all = Vec::new();
        let mut target = Some(format!("/api/admin/audit?limit=3&{query}"));
        while let Some(here) = target {
            let page = root.get(&here).expect(200, "success");
            all.extend(page.data().as_array().expect("a list").iter().map(|entry| entry["resource_id"].clone()));
            target = page.next();
        }
        all
    };
    let until_2021 = "until=2021-01-01T00:00:00Z";
    assert_eq!(found(until_2021), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(found(&format!("{until_2021}&actor_id=1&from=2020-02-29T03:00:00.000005Z")), [8, 7, 6]);
    assert_eq!(found(&format!("{until_2021}&action=read&resource_id=7")), [7]);
    // The same moments with other offsets, and one that lies between two microseconds.
    assert_eq!(found("from=2020-02-29T01:00:00.000001%2B01:00&until=2020-02-28T21:00:00.000001-05:00"), [3, 2]);
    assert_eq!(found("from=2020-02-29T00:00:00.0000011Z&until=2020-02-29T02:00:00.0000011Z"), [4, 3]);
    assert_eq!(found("from=2020-02-29T03:00:00.000006Z&until=2020-02-29T03:00:00.000007Z"), [7]);
    assert_eq!(found("from=2020-02-29T03:00:00Z&until=2020-02-29T03:00:00Z"), Vec::<i64>::new());
    assert_eq!(found("from=2021-01-01T00:00:00Z&until=2020-01-01T00:00:00Z"), Vec::<i64>::new(), "the wrong order");
    let everything = found("").len();
    assert!(found("from=2021-01-01T00:00:00Z").len() > 1);
    assert_eq!(found("from=0001-01-01T00:00:00%2B23:59&until=9999-12-31T23:59:59-23:59").len(), everything);
    assert_eq!(found("from=9999-12-31T23:59:59Z"), Vec::<i64>::new());
    assert_eq!(found("until=0001-01-01T00:00:00Z"), Vec::<i64>::new());
    for bad in [
        "2020-02-30T00:00:00Z",
        "2020-02-28",
        "2020-02-28T00:00:00",
        "2020-02-28T00:00:00+01:00",
        "0000-01-01T00:00:00Z",
    ] {
        assert_eq!(
            root.get(&format!("/api/admin/audit?from={bad}")).expect(400, "invalid").fields(),
            ["from"],
            "{bad}"
        );
    }
}

#[test]
fn an_entry_says_who_what_when_from_where_and_by_which_request() {
    let app = TestApp::start();
    let root = app.admin("root");
    named("POST", &root, "/api/doctors", "my-request.1", json!({ "name": "D", "specialization": "S" }));
    let page = root.get("/api/admin/audit?action=create").expect(200, "success").data();
    let entry = &page[0];
    let mut names: Vec<&String> = entry.as_object().expect("an object").keys().collect();
    names.sort();
    let documented = [
        "action",
        "actor_id",
        "at",
        "before",
        "id",
        "ip",
        "outcome",
        "request_id",
        "resource",
        "resource_id",
        "version",
    ];
    assert_eq!(names, documented);
    assert_eq!(gist(entry), (Some(root.id), "doctor", Some(1), "success"));
    assert_eq!(
        (&entry["ip"], &entry["request_id"], &entry["before"]),
        (&json!("127.0.0.1"), &json!("my-request.1"), &Value::Null)
    );
    assert!(entry["at"].as_str().is_some_and(|time| time.ends_with('Z')), "{entry}");
}

#[test]
fn every_change_of_a_record_is_there_with_the_record_as_it_was() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("Old name"), ann.new_doctor("Old name"));
    let mapping = ann.new_mapping(patient, doctor);
    let records = [
        ("mapping", format!("/api/mappings/{mapping}"), format!("/api/patients/{patient}/mappings/{mapping}"), "notes"),
        ("patient", format!("/api/patients/{patient}"), format!("/api/patients/{patient}"), "name"),
        ("doctor", format!("/api/doctors/{doctor}"), format!("/api/doctors/{doctor}"), "name"),
    ];
    for (resource, path, read_at, field) in &records {
        let created = app.audited("create").into_iter().find(|entry| entry["resource"] == *resource).expect("an entry");
        let read = ann.get(read_at).expect(200, "success").data();
        assert_eq!(gist(&created), (Some(ann.id), *resource, read["id"].as_i64(), "success"));
        assert_eq!(created["before"], Value::Null);
        for (action, method, body) in [("update", "PATCH", Some(json!({ *field: "New" }))), ("delete", "DELETE", None)]
        {
            let was = ann.get(read_at).expect(200, "success").data();
            let request_id = format!("{resource}-{action}");
            assert_eq!(ann.send(method, path, &[("X-Request-Id", &request_id)], body).status, 200);
            let entry =
                app.audited(action).into_iter().find(|entry| entry["request_id"] == *request_id).expect("an entry");
            assert_eq!(gist(&entry), (Some(ann.id), *resource, was["id"].as_i64(), "success"));
            // Every stored field; what a mapping shows of others is theirs.
            for (name, value) in was.as_object().expect("a record") {
                let is_stored = !name.ends_with("_at") && !["patient", "doctor"].contains(&name.as_str());
                assert!(!is_stored || entry["before"][name] == *value, "{name}: {entry}");
            }
            assert!(entry["before"]["updated_at"].is_string());
        }
    }
    assert_eq!((app.audited("create").len(), app.audited("update").len(), app.audited("delete").len()), (3, 3, 3));
}

#[test]
fn times_in_a_stored_record_look_like_every_other_time() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let patient = ann.new_patient("P");
    let mapping = ann.new_mapping(patient, ann.new_doctor("D"));
    for (change, resource, path) in [
        (format!("/api/mappings/{mapping}"), "mapping", format!("/api/patients/{patient}/mappings/{mapping}")),
        (format!("/api/patients/{patient}"), "patient", format!("/api/patients/{patient}")),
    ] {
        let was = ann.get(&path).expect(200, "success").data();
        ann.delete(&change).expect(200, "deleted");
        let page = root.get(&format!("/api/admin/audit?action=delete&resource={resource}")).expect(200, "success");
        let before = &page.data()[0]["before"];
        let times: Vec<&str> =
            ["created_at", "assigned_at", "updated_at"].into_iter().filter(|name| was[*name].is_string()).collect();
        assert_eq!(times.len(), 2);
        for name in times {
            assert_eq!(before[name], was[name], "{name}");
        }
    }
}

#[test]
fn a_patient_that_is_deleted_with_its_mappings_leaves_an_entry_for_each() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("P");
    let mappings: Vec<i64> =
        (0..3).map(|number| ann.new_mapping(patient, ann.new_doctor(&format!("{number}")))).collect();
    named("DELETE", &ann, &format!("/api/patients/{patient}"), "gone", json!({}));
    let deleted = app.audited("delete");
    assert!(deleted.iter().all(|entry| entry["request_id"] == "gone" && entry["before"]["id"] == entry["resource_id"]));
    let mut ids: Vec<i64> =
        deleted.iter().filter(|entry| entry["resource"] == "mapping").filter_map(|entry| gist(entry).2).collect();
    ids.sort();
    assert_eq!((ids, deleted.len()), (mappings, 4));
}

#[test]
fn a_change_that_is_refused_or_changes_nothing_leaves_no_entry() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    ann.send("PATCH", &path, &[("If-Match", "\"99\"")], Some(json!({ "name": "N" }))).expect(412, "failed");
    ann.send("DELETE", &path, &[("If-Match", "\"99\"")], None).expect(412, "failed");
    ann.patch(&path, json!({ "name": "" })).expect(400, "incomplete");
    bob.patch(&path, json!({ "name": "N" })).expect(404, "failed");
    bob.delete(&path).expect(404, "failed");
    assert!(app.audited("update").is_empty() && app.audited("delete").is_empty());
}

#[test]
fn reads_and_lists_are_there_a_second_later() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann"), app.signed_up("bob"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let (path, nested) = (format!("/api/patients/{patient}"), format!("/api/patients/{patient}/mappings/{mapping}"));
    let start = Instant::now();
    let etag = ann.get(&path).expect(200, "success").etag();
    assert_eq!(ann.send("GET", &path, &[("If-None-Match", &etag)], None).status, 304);
    assert_eq!(ann.send("HEAD", &path, &[], None).status, 200);
    ann.get(&nested).expect(200, "success");
    for target in [format!("/api/admin/patients/{patient}"), format!("/api/admin/mappings/{mapping}")] {
        root.get(&target).expect(200, "success");
    }
    for target in ["/api/patients", "/api/patients?name=none", "/api/mappings"] {
        ann.get(target).expect(200, "success");
    }
    for target in [format!("/api/mappings/{patient}"), format!("/api/patients/{patient}/mappings")] {
        ann.get(&target).expect(200, "success");
    }
    for target in ["/api/admin/patients", "/api/admin/mappings"] {
        root.get(target).expect(200, "success");
    }
    // A 404 shows no patient, and reads of the shared directory are not recorded.
    bob.get(&path).expect(404, "failed");
    bob.get("/api/doctors").expect(200, "success");
    bob.get(&format!("/api/doctors/{doctor}")).expect(200, "success");
    let asked = start.elapsed();
    let (reads, lists) = (entries(&app, "read", 6), entries(&app, "list", 7));
    let waited = start.elapsed() - asked;
    assert!(waited < Duration::from_secs(2), "a second, and some for a busy machine: {waited:?}");

    let by = |person: &Person, resource: &'static str, id: Option<i64>| (Some(person.id), resource, id, "success");
    // Those of one kind are written together: only their times say how kinds followed each other.
    let by_time = |mut entries: Vec<Value>| {
        entries.sort_by_key(|entry| entry["at"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time"));
        entries
    };
    let (reads, lists) = (by_time(reads), by_time(lists));
    let read: Vec<_> = reads.iter().map(gist).collect();
    let (of_patient, of_mapping) = (by(&ann, "patient", Some(patient)), by(&ann, "mapping", Some(mapping)));
    assert_eq!(read[..4], [of_patient, of_patient, of_patient, of_mapping]);
    assert_eq!(read[4..], [by(&root, "patient", Some(patient)), by(&root, "mapping", Some(mapping))]);
    let ids = |list: &Value| {
        list["resource_ids"].as_array().expect("ids").iter().filter_map(Value::as_i64).collect::<Vec<_>>()
    };
    assert!(lists.iter().all(|list| gist(list).2.is_none()));
    assert_eq!(
        lists.iter().map(ids).collect::<Vec<_>>(),
        [vec![patient], vec![], vec![mapping], vec![mapping], vec![mapping], vec![patient], vec![mapping]]
    );
    assert!(reads.iter().chain(&lists).all(|entry| entry["ip"] == "127.0.0.1" && entry["request_id"].is_string()));
}

#[test]
fn a_shutdown_writes_the_reads_that_wait() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    for _ in 0..50 {
        ann.get(&path).expect(200, "success");
    }
    let database = app.database.clone();
    app.stop();
    let query = "select count(*) from audit_trail where action = 'read'";
    let count: i64 = crate::harness::postgres::connect(&database).query_one(query, &[]).expect("a count").get(0);
    assert_eq!(count, 50);
}

#[test]
fn without_audit_reads_only_changes_and_refusals_are_recorded() {
    let app = TestApp::with(|config| config.audit_reads = false);
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("P");
    ann.get(&format!("/api/patients/{patient}")).expect(200, "success");
    ann.get("/api/patients").expect(200, "success");
    ann.get("/api/admin/users").expect(403, "forbidden");
    entries(&app, "denied", 1);
    assert!(app.audited("read").is_empty() && app.audited("list").is_empty());
    assert_eq!(app.audited("create").len(), 1);
}

#[test]
fn every_refusal_is_recorded_with_what_was_wanted() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let doctor = ann.new_doctor("D");
    bob.patch(&format!("/api/doctors/{doctor}"), json!({ "name": "N" })).expect(403, "forbidden");
    bob.delete(&format!("/api/doctors/{doctor}")).expect(403, "forbidden");
    bob.get("/api/admin/patients/7").expect(403, "forbidden");
    bob.get("/api/admin/mappings?limit=nonsense").expect(403, "forbidden");
    bob.patch(&format!("/api/admin/users/{}", bob.id), json!({ "role": "admin" })).expect(403, "forbidden");
    bob.delete(&format!("/api/admin/users/{}/sessions", ann.id)).expect(403, "forbidden");
    bob.get("/api/admin/audit").expect(403, "forbidden");
    // A refused token has no one to blame.
    app.anyone().get("/api/admin/users").expect(401, "forbidden");
    let denied = entries(&app, "denied", 7);
    let wanted: Vec<_> = denied.iter().map(|entry| (gist(entry).1, gist(entry).2)).collect();
    let (d, a, b) = (Some(doctor), Some(ann.id), Some(bob.id));
    let expected = [
        ("doctor", d),
        ("doctor", d),
        ("patient", Some(7)),
        ("mapping", None),
        ("user", b),
        ("user", a),
        ("audit", None),
    ];
    assert_eq!(wanted, expected);
    assert!(denied.iter().all(|entry| gist(entry).0 == b && gist(entry).3 == "forbidden"));
}
