//! Every version of a record is kept, and can be read as it was.

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{Person, TestApp};
use crate::undelete::treated;

/// 80 KB that do not compress.
pub fn long_history(seed: u32) -> String {
    let letter = |n: u32| char::from_u32(0x2_0000 + (n + seed).wrapping_mul(2_654_435_761) % 40_000);
    (0..20_000).filter_map(letter).collect()
}

/// The records of a history without those that a mapping shows of others, by version.
pub fn versions(answer: &Answer) -> Vec<(i64, String, Option<i64>, Value)> {
    let list = answer.data().as_array().expect("a list").clone();
    let of = |item: &Value| {
        let text = item["action"].as_str().expect("an action").to_string();
        (item["version"].as_i64().expect("a version"), text, item["actor_id"].as_i64(), item["record"].clone())
    };
    list.iter().map(of).collect()
}

/// What the trail says of a record: action, version and actor of each change, oldest first.
pub fn changes(app: &TestApp, resource: &str, id: i64) -> Vec<(String, i64, Option<i64>)> {
    let query = "select action, version, actor_id from audit_trail
                  where resource = $1 and resource_id = $2 and version is not null order by id";
    let rows = app.sql().query(query, &[&resource, &id]).expect("entries");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn five_updates_are_six_versions_each_as_a_read_showed_it_then() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let (patient, doctor, other) = (ann.new_patient("P"), ann.new_doctor("D"), ann.new_doctor("E"));
    let mapping = ann.new_mapping(patient, doctor);
    let nested = format!("/api/patients/{patient}/mappings/{mapping}");
    let cases = [
        (
            "patient",
            patient,
            format!("/api/patients/{patient}"),
            format!("/api/patients/{patient}"),
            vec![
                json!({ "medical_history": long_history(1), "address": "A" }),
                json!({ "phone": "12345" }),
                json!({ "medical_history": long_history(2) }),
                json!({ "address": "ü".repeat(500), "phone": null }),
                json!({ "name": "Q", "date_of_birth": "1991-01-01", "medical_history": "short" }),
            ],
        ),
        (
            "doctor",
            doctor,
            format!("/api/doctors/{doctor}"),
            format!("/api/doctors/{doctor}"),
            vec![
                json!({ "phone": "12345" }),
                json!({ "license_number": "BE-1", "years_of_experience": 7 }),
                json!({ "years_of_experience": null }),
                json!({ "name": "Dr. D", "email": "d@example.org" }),
                json!({ "specialization": "Surgery" }),
            ],
        ),
        (
            "mapping",
            mapping,
            format!("/api/mappings/{mapping}"),
            nested,
            vec![
                json!({ "notes": "n".repeat(2000) }),
                json!({ "doctor_id": other }),
                json!({ "doctor_id": doctor }),
                json!({ "notes": "short" }),
                json!({ "notes": null }),
            ],
        ),
    ];
    for (resource, id, path, read_at, updates) in cases {
        let mut shown = vec![(1, "create".to_string(), Some(ann.id), ann.get(&read_at).expect(200, "success").data())];
        for (number, update) in updates.into_iter().enumerate() {
            // Every second change is an admin's, where there is such a route.
            let by_root = number % 2 == 1 && resource != "mapping";
            let (person, path) =
                if by_root { (&root, path.replace("/api/", "/api/admin/")) } else { (&ann, path.clone()) };
            person.patch(&path, update).expect(200, "updated");
            let now = ann.get(&read_at).expect(200, "success");
            assert!(resource == "mapping" || now.etag() == format!("\"{}\"", number + 2));
            shown.insert(
                0,
                (i64::try_from(number).expect("a number") + 2, "update".to_string(), Some(person.id), now.data()),
            );
        }
        let history = ann.get(&format!("{read_at}/history")).expect(200, "success");
        // Doctors of a mapping are shown as they are now.
        let then = |records: Vec<(i64, String, Option<i64>, Value)>| -> Vec<_> {
            records
                .into_iter()
                .map(|(version, action, actor, mut record)| {
                    if resource == "mapping" {
                        record["doctor"] = json!(null);
                    }
                    (version, action, actor, record)
                })
                .collect()
        };
        assert_eq!(then(versions(&history)), then(shown), "{resource}");
        for item in history.data().as_array().expect("a list") {
            let path = format!("{read_at}/history/{}", item["version"]);
            assert_eq!(ann.get(&path).expect(200, "success").data(), *item, "{path}");
            assert_eq!(item["at"], item["record"]["updated_at"], "{path}");
        }
        for never in ["7", "99", "9223372036854775807"] {
            ann.get(&format!("{read_at}/history/{never}")).expect(404, "failed");
        }
        for none in ["0", "x", "-1", "1.0", "9223372036854775808"] {
            assert_eq!(ann.get(&format!("{read_at}/history/{none}")).expect(400, "invalid").fields(), ["version"]);
        }
        // Pages of two hold each version once.
        let (mut target, mut paged) = (Some(format!("{read_at}/history?limit=2")), Vec::new());
        while let Some(here) = target {
            let page = ann.get(&here).expect(200, "success");
            paged.extend(page.data().as_array().expect("a page").clone());
            target = page.next();
        }
        assert_eq!(json!(paged), history.data());
        assert_eq!(ann.get(&format!("{read_at}/history?before=1")).expect(200, "success").data(), json!([]));
        let as_admin = if resource == "mapping" {
            format!("/api/admin/mappings/{id}/history")
        } else {
            path.replace("/api/", "/api/admin/") + "/history"
        };
        let seen = versions(&root.get(&as_admin).expect(200, "success"));
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|(_, _, _, record)| record["created_by"] == ann.id), "{resource}");
        let expected: Vec<_> = history
            .data()
            .as_array()
            .expect("a list")
            .iter()
            .rev()
            .map(|item| {
                (
                    item["action"].as_str().expect("a word").to_string(),
                    item["version"].as_i64().expect("a version"),
                    item["actor_id"].as_i64(),
                )
            })
            .collect();
        assert_eq!(changes(&app, resource, id), expected);
    }
}

#[test]
fn the_history_of_an_account_shows_every_change_and_no_secret() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let path = format!("/api/admin/users/{}", ann.id);
    let mut shown = vec![root.get(&path).expect(200, "success").data()];
    let mut see = |person: &Person| {
        shown.insert(0, root.get(&path).expect(200, "success").data());
        person.clone()
    };
    ann.patch("/api/auth/me", json!({ "name": "Ann Baker" })).expect(200, "updated");
    see(&ann);
    root.patch(&path, json!({ "role": "admin", "disabled": true })).expect(200, "updated");
    see(&ann);
    root.patch(&path, json!({ "role": "user", "disabled": false })).expect(200, "updated");
    see(&ann);
    let ann = app.logged_in(&ann.email, crate::harness::PASSWORD);
    let ann = see(&ann.with_new_password(crate::harness::PASSWORD, "another horse battery"));
    // The secret is set up with the password of before.
    app.anyone().reset(&root.reset_token(ann.id), crate::harness::PASSWORD).expect(200, "updated");
    see(&ann);
    let ann = app.logged_in(&ann.email, crate::harness::PASSWORD);
    assert!(ann.try_recovery_code().is_some());
    see(&ann);
    root.delete(&format!("{path}/totp")).expect(200, "deleted");
    see(&ann);
    let history = root.get(&format!("{path}/history")).expect(200, "success");
    let found = versions(&history);
    assert_eq!(found.iter().map(|(_, _, _, record)| record).collect::<Vec<_>>(), shown.iter().collect::<Vec<_>>());
    let by: Vec<_> =
        found.iter().rev().map(|(version, action, actor, _)| (*version, action.as_str(), *actor)).collect();
    let (a, r) = (Some(ann.id), Some(root.id));
    assert_eq!(
        by,
        [
            (1, "create", a),
            (2, "update", a),
            (3, "update", r),
            (4, "update", r),
            (5, "update", a),
            (6, "update", a),
            (7, "update", a),
            (8, "update", r)
        ]
    );
    // The trail gives a version to what it shows the record of.
    let trail: Vec<_> =
        changes(&app, "user", ann.id).into_iter().map(|(action, version, _)| (action, version)).collect();
    let expected = [
        ("profile_change", 2),
        ("role_change", 3),
        ("disable", 3),
        ("role_change", 4),
        ("enable", 4),
        ("totp_change", 7),
        ("totp_change", 8),
    ];
    assert_eq!(trail, expected.map(|(action, version)| (action.to_string(), version)));
    let kept = "select string_agg(record::text, '') from record_versions where resource = 'user'";
    let kept: String = app.sql().query_one(kept, &[]).expect("records").get(0);
    assert!(!kept.contains("$2") && !kept.contains("password") && !kept.contains("secret"), "{kept}");
    root.get("/api/admin/users/99/history").expect(404, "failed");
}

#[test]
fn the_history_and_the_deleted_records_of_others_are_as_missing_as_those_that_never_were() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, _, mappings) = treated(&ann, &bob);
    let gone = ann.new_patient("Gone");
    ann.delete(&format!("/api/patients/{gone}")).expect(200, "deleted");
    let body = |method: &str, target: &str| {
        let answer = bob.send(method, target, &[("X-Request-Id", "same")], None);
        assert_eq!(answer.status, 404, "{method} {target}");
        (
            answer.body.clone(),
            answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).cloned().collect::<Vec<_>>(),
        )
    };
    for (method, pattern, ids) in [
        ("GET", "/api/patients/{}/history", vec![patient, gone]),
        ("GET", "/api/patients/{}/history/1", vec![patient, gone]),
        ("POST", "/api/patients/{}/undelete", vec![patient, gone]),
        ("POST", "/api/mappings/{}/undelete", mappings.to_vec()),
        ("GET", &format!("/api/patients/{patient}/mappings/{{}}/history"), mappings.to_vec()),
        ("GET", &format!("/api/patients/{patient}/mappings/{{}}/history/1"), mappings.to_vec()),
    ] {
        let unknown = body(method, &pattern.replace("{}", "999999"));
        for id in ids {
            assert_eq!(body(method, &pattern.replace("{}", &id.to_string())), unknown, "{method} {pattern} {id}");
        }
    }
    for kind in ["patients", "doctors", "mappings"] {
        assert_eq!(bob.get(&format!("/api/{kind}/deleted")).expect(200, "success").data(), json!([]));
    }
    assert_eq!(ann.get(&format!("/api/patients/{patient}")).expect(200, "success").etag(), "\"1\"");
}

#[test]
fn colleagues_read_each_others_histories_and_bring_each_others_patients_back() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let group = root.post("/api/admin/groups", json!({ "name": "G" })).expect(201, "created").location();
    let (patient, own) = (ann.new_patient("P"), bob.new_patient("Q"));
    let doctor = ann.new_doctor("D");
    let mapping = ann.new_mapping(patient, doctor);
    for path in [format!("/api/patients/{patient}"), format!("/api/patients/{own}"), format!("/api/doctors/{doctor}")] {
        [&ann, &bob].iter().for_each(|person| drop(person.delete(&path)));
    }
    assert_eq!(bob.get("/api/patients/deleted").ids(), [own]);
    for person in [&ann, &bob] {
        root.send("PUT", &format!("{group}/members/{}", person.id), &[], None).expect(200, "updated");
    }
    assert_eq!(bob.get("/api/patients/deleted").ids(), [own, patient]);
    let pages = bob.get("/api/patients/deleted?limit=1").expect(200, "success");
    assert_eq!(bob.get(&pages.next().expect("more")).ids(), [patient]);
    bob.get(&format!("/api/patients/{patient}/history")).expect(200, "success");
    // Doctors are not concerned.
    assert_eq!(bob.get("/api/doctors/deleted").ids(), Vec::<i64>::new());
    bob.get(&format!("/api/doctors/{doctor}/history")).expect(404, "failed");
    assert_eq!(bob.get("/api/mappings/deleted").ids(), [mapping]);
    let back = bob.send("POST", &format!("/api/patients/{patient}/undelete"), &[], None).expect(200, "updated");
    assert_eq!(
        (&back.data()["created_by"], &back.json()["message"]),
        (&json!(ann.id), &json!("Patient brought back with 0 of 1 mappings"))
    );
    assert_eq!(app.audited("undelete")[0]["actor_id"], bob.id);
    ann.get(&format!("/api/patients/{patient}")).expect(200, "success");
}

#[test]
fn a_mapping_that_moved_to_another_patient_tells_nothing_of_the_first_to_those_who_may_not_see_them() {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let group = admin.new_group("Ward", &[&ann, &ben]);
    let (anns, bens) = (ann.new_patient("Ann's"), ben.new_patient("Ben's"));
    let mapping = ann.new_mapping(anns, ann.new_doctor("D"));
    let change = |person: &Person, fields| {
        person.patch(&format!("/api/mappings/{mapping}"), fields).expect(200, "updated");
    };
    change(&ann, json!({ "notes": "of Ann's patient" }));
    change(&ben, json!({ "patient_id": bens, "notes": "of Ben's patient" }));
    change(&ben, json!({ "notes": "still of Ben's patient" }));
    ben.post(&format!("/api/patients/{bens}/shares"), json!({ "user_id": eve.id })).expect(201, "created");
    let path = format!("/api/patients/{bens}/mappings/{mapping}/history");
    let versions = |person: &Person| -> Vec<Value> {
        let all = person.get(&path).expect(200, "success").data();
        all.as_array().expect("a list").iter().map(|version| version["version"].clone()).collect()
    };
    assert_eq!(versions(&ben), [4, 3, 2, 1]);
    assert_eq!(versions(&eve), [4, 3]);
    admin.remove_member(&group, &ben);
    for person in [&ben, &eve] {
        assert_eq!(versions(person), [4, 3], "{}", person.email);
        assert!(!person.get(&path).data().to_string().contains("Ann's"));
        person.get(&format!("{path}/2")).expect(404, "failed");
        person.get(&format!("{path}/3")).expect(200, "success");
    }
    let path = format!("/api/admin/mappings/{mapping}/history");
    assert_eq!(admin.get(&path).expect(200, "success").data().as_array().map(Vec::len), Some(4));
}

#[test]
fn a_version_shows_its_members_in_the_order_of_a_read() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("Ann Lee"), ann.new_doctor("Dr. Roe"));
    let mapping = ann.new_mapping(patient, doctor);
    for path in
        [format!("patients/{patient}"), format!("doctors/{doctor}"), format!("patients/{patient}/mappings/{mapping}")]
    {
        let text = |path: &str| String::from_utf8(ann.get(path).expect(200, "success").body).expect("a text");
        let read = text(&format!("/api/{path}"));
        let (_, record) = read.strip_suffix('}').and_then(|read| read.split_once("\"data\":")).expect("data");
        let version = text(&format!("/api/{path}/history/1"));
        assert!(version.contains(&format!("\"record\":{record}")), "{version} has not {record}");
    }
}

#[test]
fn histories_and_deleted_lists_of_patients_and_mappings_are_recorded_as_reads_and_lists() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let deleted = ann.new_patient("Q");
    ann.delete(&format!("/api/patients/{deleted}")).expect(200, "deleted");
    for target in [
        format!("/api/patients/{patient}/history"),
        format!("/api/patients/{deleted}/history/1"),
        format!("/api/patients/{patient}/mappings/{mapping}/history"),
        format!("/api/doctors/{doctor}/history"),
        "/api/patients/deleted".into(),
        "/api/mappings/deleted".into(),
        "/api/doctors/deleted".into(),
    ] {
        ann.get(&target).expect(200, "success");
    }
    root.get(&format!("/api/admin/users/{}/history", ann.id)).expect(200, "success");
    root.get("/api/admin/patients/deleted").expect(200, "success");
    let database = app.database.clone();
    app.stop();
    let query =
        "select action || ' ' || resource || ' ' || coalesce(resource_id::text, resource_ids::text) from audit_trail
                  where action in ('read', 'list') order by 1";
    let found: Vec<String> = crate::harness::postgres::connect(&database)
        .query(query, &[])
        .expect("entries")
        .iter()
        .map(|row| row.get(0))
        .collect();
    let mut expected = vec![
        format!("read patient {patient}"),
        format!("read patient {deleted}"),
        format!("read mapping {mapping}"),
        format!("list patient {{{deleted}}}"),
        "list mapping {}".into(),
        format!("list patient {{{deleted}}}"),
    ];
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_erased_version_shows_nothing_of_the_record() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let path = format!("/api/patients/{}", ann.patient_with(json!({ "medical_history": long_history(3) })));
    ann.patch(&path, json!({ "phone": "12345" })).expect(200, "updated");
    ann.patch(&path, json!({ "medical_history": long_history(4) })).expect(200, "updated");
    sql.execute("update record_versions set record = null where version = 2", &[]).expect("an erasure");
    let history = versions(&ann.get(&format!("{path}/history")).expect(200, "success"));
    assert_eq!(history[1].3, json!(null));
    // The first version left its long text to the one that was erased.
    assert_eq!((&history[2].3["medical_history"], &history[2].3["phone"]), (&json!(null), &json!(null)));
    assert_eq!(history[0].3["medical_history"], long_history(4));
    ann.delete(&path).expect(200, "deleted");
    sql.execute("update record_versions set record = null", &[]).expect("an erasure");
    assert_eq!(ann.get("/api/patients/deleted").expect(200, "success").data(), json!([]));
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(404, "failed");
}

#[test]
fn a_kept_version_can_lose_its_record_and_a_deleted_one_change_its_owner_and_nothing_else() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    ann.patch(&path, json!({ "name": "Q" })).expect(200, "updated");
    for forbidden in [
        "update record_versions set version = 7",
        "update record_versions set record = record",
        "update record_versions set record = '{}'",
        "update record_versions set record = null, actor_id = null",
        "update record_versions set record = null, texts_here = '{}'",
        "update record_versions set owner_id = 7",
        "delete from record_versions",
        "truncate record_versions",
    ] {
        let error = sql.batch_execute(forbidden).expect_err(forbidden);
        assert!(
            error.as_db_error().is_some_and(|error| error.message().starts_with("versions are never")),
            "{forbidden}: {error}"
        );
    }
    ann.delete(&path).expect(200, "deleted");
    let both = "update record_versions set owner_id = 7, record = null where ended_by = 'delete'";
    sql.batch_execute(both).expect_err("one at a time");
    let moved =
        sql.execute("update record_versions set owner_id = 7 where ended_by = 'delete'", &[]).expect("a transfer");
    assert_eq!(moved, 1);
    let erased = sql.execute("update record_versions set record = null", &[]).expect("an erasure");
    assert_eq!(erased, 2);
}

#[test]
fn two_hundred_changes_of_a_patient_with_a_long_history_write_little() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let history = long_history(1);
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    ann.patch(&path, json!({ "medical_history": history })).expect(200, "updated");
    let size = "select pg_database_size(current_database())";
    let before: i64 = sql.query_one(size, &[]).expect("a size").get(0);
    for number in 0..200 {
        ann.patch(&path, json!({ "phone": format!("{}", 10_000 + number) })).expect(200, "updated");
    }
    let grown = sql.query_one(size, &[]).expect("a size").get::<_, i64>(0) - before;
    assert!(grown < 4_000_000, "200 changes of a phone number took {grown} bytes");
    let texts = "select count(*) filter (where texts_here is not null), count(*) filter (where texts_later is not null) from record_versions";
    let row = sql.query_one(texts, &[]).expect("counts");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 200), "the text is in the record itself");
}
