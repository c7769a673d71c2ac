//! Members of a care group see and change each other's patients, and nobody else's.

use serde_json::{Value, json};

use crate::harness::{Person, TestApp, eventually};

/// Three users; the first two are in a group.
fn ward() -> (TestApp, Person, Person, Person, Person, String) {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let group = admin.new_group("Ward", &[&ann, &ben]);
    (app, admin, ann, ben, eve, group)
}

fn names(person: &Person, target: &str) -> Vec<String> {
    let data = person.get(target).expect(200, "success").data();
    let name = |patient: &Value| patient["name"].as_str().expect("a name").to_string();
    data.as_array().expect("a list").iter().map(name).collect()
}

#[test]
fn colleagues_read_list_search_and_count_each_others_patients_and_mappings() {
    let (_app, _admin, ann, ben, eve, _) = ward();
    let (anns, bens, doctor) = (ann.new_patient("Ann's"), ben.new_patient("Ben's"), ann.new_doctor("D"));
    eve.new_patient("Eve's");
    let mapping = ann.new_mapping(anns, doctor);
    for (one, other, patient) in [(&ann, &ben, bens), (&ben, &ann, anns)] {
        let found = one.get(&format!("/api/patients/{patient}")).expect(200, "success");
        assert_eq!(found.data()["created_by"], other.id);
        assert_eq!(one.get("/api/patients").expect(200, "success").ids(), [anns, bens]);
        for filters in
            ["q=s", "name=n%27s", "sort=-created_at", "date_of_birth=1990-04-23", "gender=female", "limit=500"]
        {
            let answer = one.get(&format!("/api/patients?{filters}&count=true")).expect(200, "success");
            let mut ids = answer.ids();
            ids.sort_unstable();
            assert_eq!(ids, [anns, bens], "{filters}");
            assert_eq!(answer.header("x-total-count"), Some("2"), "{filters}");
        }
        assert_eq!(names(one, &format!("/api/patients?created_by={}", other.id)).len(), 1);
        assert_eq!(one.get(&format!("/api/patients?created_by={}", eve.id)).expect(200, "success").data(), json!([]));
        for list in
            ["/api/mappings".into(), format!("/api/mappings/{anns}"), format!("/api/mappings?doctor_id={doctor}")]
        {
            assert_eq!(one.get(&list).expect(200, "success").ids(), [mapping], "{list}");
        }
        one.get(&format!("/api/patients/{anns}/mappings/{mapping}")).expect(200, "success");
    }
    assert_eq!(names(&eve, "/api/patients"), ["Eve's"]);
    assert_eq!(eve.get(&format!("/api/patients?created_by={}", ann.id)).expect(200, "success").data(), json!([]));
    eve.get(&format!("/api/patients/{anns}")).expect(404, "failed");
    assert_eq!(eve.get("/api/mappings").expect(200, "success").data(), json!([]));
    eve.get(&format!("/api/patients/{anns}/mappings/{mapping}")).expect(404, "failed");
}

#[test]
fn who_is_taken_out_sees_nothing_from_the_next_request_on_and_is_not_seen() {
    let (_app, admin, ann, ben, _, group) = ward();
    let (anns, bens) = (ann.new_patient("Ann's"), ben.new_patient("Ben's"));
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [anns, bens]);
    admin.remove_member(&group, &ben);
    ben.get(&format!("/api/patients/{anns}")).expect(404, "failed");
    ann.get(&format!("/api/patients/{bens}")).expect(404, "failed");
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [bens]);
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids(), [anns]);
    admin.add_member(&group, &ben);
    ann.get(&format!("/api/patients/{bens}")).expect(200, "success");
    admin.delete(&format!("{group}?force=true")).expect(200, "deleted");
    ann.get(&format!("/api/patients/{bens}")).expect(404, "failed");
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [bens]);
}

#[test]
fn groups_are_not_transitive() {
    let (_app, admin, ann, ben, eve, _) = ward();
    admin.new_group("Other", &[&ben, &eve]);
    let (anns, eves) = (ann.new_patient("Ann's"), eve.new_patient("Eve's"));
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [anns, eves]);
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids(), [anns]);
    ann.get(&format!("/api/patients/{eves}")).expect(404, "failed");
    eve.get(&format!("/api/patients/{anns}")).expect(404, "failed");
}

#[test]
fn the_patients_of_a_disabled_colleague_stay_visible() {
    let (_app, admin, ann, ben, _, _) = ward();
    let anns = ann.new_patient("Ann's");
    admin.patch(&format!("/api/admin/users/{}", ann.id), json!({ "disabled": true })).expect(200, "updated");
    ben.get(&format!("/api/patients/{anns}")).expect(200, "success");
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [anns]);
}

/// Follows the links from page to page.
fn all_pages(person: &Person, target: &str) -> Vec<i64> {
    let (mut ids, mut next) = (Vec::new(), Some(target.to_string()));
    while let Some(target) = next {
        let answer = person.get(&target).expect(200, "success");
        ids.extend(answer.ids());
        next = answer.header("link").map(|link| link.split(['<', '>']).nth(1).expect("a target").to_string());
    }
    ids
}

#[test]
fn three_members_lists_show_each_record_exactly_once_in_every_order() {
    let (app, admin, ann, ben, eve, group) = ward();
    admin.add_member(&group, &eve);
    // Names and dates repeat, so that places in the order are equal.
    let fill = "insert into patients (name, date_of_birth, gender, created_by)
                select 'N' || n % 5, date '1990-01-01' + n % 4, 'other', ($1::bigint[])[1 + n % 3] from generate_series(1, 60) n";
    app.sql().execute(fill, &[&vec![ann.id, ben.id, eve.id]]).expect("patients");
    app.signed_up("stranger").new_patient("N1");
    let all: Vec<i64> = all_pages(&ann, "/api/patients?limit=500");
    assert_eq!(all.len(), 60);
    for order in [
        "",
        "&sort=name",
        "&sort=-created_at",
        "&sort=-updated_at",
        "&sort=date_of_birth",
        "&q=N&sort=name",
        "&gender=other",
    ] {
        for person in [&ann, &ben, &eve] {
            let paged = all_pages(person, &format!("/api/patients?limit=7{order}"));
            assert_eq!(paged, all_pages(person, &format!("/api/patients?limit=500{order}")), "{order}");
            let mut once = paged;
            once.sort_unstable();
            assert_eq!(once, all, "{order}");
        }
    }
    let sorted = names(&ben, "/api/patients?limit=500&sort=name");
    assert!(sorted.is_sorted(), "{sorted:?}");
}

#[test]
fn a_cursor_from_before_a_change_of_groups_stays_good_and_leaves_out_what_is_out_of_sight() {
    let (_app, admin, ann, ben, _, group) = ward();
    for number in 0..4 {
        ann.new_patient(&format!("A{number}"));
        ben.new_patient(&format!("B{number}"));
    }
    let first = ann.get("/api/patients?limit=3&sort=name").expect(200, "success");
    let next = first.header("link").expect("a link").split(['<', '>']).nth(1).expect("a target").to_string();
    admin.remove_member(&group, &ben);
    assert_eq!(names(&ann, &next), ["A3"]);
}

#[test]
fn colleagues_change_and_delete_each_others_patients_and_mappings_and_these_stay_the_owners() {
    let (app, admin, ann, ben, eve, _) = ward();
    let (anns, doctor, other) = (ann.new_patient("Ann's"), ben.new_doctor("D"), ben.new_doctor("E"));
    let path = format!("/api/patients/{anns}");
    let changed = ben.patch(&path, json!({ "phone": "+49 30 1234567" })).expect(200, "updated").data();
    assert_eq!((&changed["created_by"], &changed["phone"]), (&json!(ann.id), &json!("+49 30 1234567")));
    assert_eq!(app.audited("update").last().expect("an entry")["actor_id"], json!(ben.id));
    let mapping = ben.new_mapping(anns, doctor);
    let owner =
        |id: i64| admin.get(&format!("/api/admin/mappings/{id}")).expect(200, "success").data()["created_by"].clone();
    assert_eq!(owner(mapping), json!(ann.id), "a mapping belongs to the owner of the patient");
    assert_eq!(app.audited("create").last().expect("an entry")["actor_id"], json!(ben.id));
    ben.patch(&format!("/api/mappings/{mapping}"), json!({ "doctor_id": other })).expect(200, "updated");
    // To a patient of the colleague's own: it then belongs to the colleague.
    let bens = ben.new_patient("Ben's");
    ann.patch(&format!("/api/mappings/{mapping}"), json!({ "patient_id": bens })).expect(200, "updated");
    assert_eq!(owner(mapping), json!(ben.id));
    for (method, target) in
        [("PATCH", path.clone()), ("DELETE", path.clone()), ("DELETE", format!("/api/mappings/{mapping}"))]
    {
        let body = (method == "PATCH").then(|| json!({ "name": "Eve" }));
        eve.send(method, &target, &[], body).expect(404, "failed");
    }
    eve.post("/api/mappings", json!({ "patient_id": anns, "doctor_id": doctor })).expect(404, "failed");
    ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
    ben.delete(&path).expect(200, "deleted");
    ann.get(&path).expect(404, "failed");
    assert_eq!(ben.new_patient("New"), bens + 1, "a new patient belongs to whoever registers it");
    assert_eq!(ben.get(&format!("/api/patients/{}", bens + 1)).expect(200, "success").data()["created_by"], ben.id);
}

#[test]
fn a_doctor_whom_a_colleague_entered_is_not_changed() {
    let (_app, _admin, ann, ben, _, _) = ward();
    let doctor = ann.new_doctor("D");
    ben.patch(&format!("/api/doctors/{doctor}"), json!({ "name": "E" })).expect(403, "forbidden");
}

#[test]
fn two_colleagues_with_one_version_do_not_overwrite_each_other() {
    let (_app, _admin, ann, ben, _, _) = ward();
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    let tag = ben.get(&path).expect(200, "success").etag();
    ann.send("PATCH", &path, &[("If-Match", &tag)], Some(json!({ "name": "Ann" }))).expect(200, "updated");
    ben.send("PATCH", &path, &[("If-Match", &tag)], Some(json!({ "name": "Ben" }))).expect(412, "failed");
}

/// The change waits for the row's lock while its actor is taken out: it is refused, and has done nothing.
#[test]
fn a_change_that_waits_while_its_member_is_taken_out_is_refused_and_changes_nothing() {
    let (app, admin, ann, ben, _, group) = ward();
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let versions = "select (select version from patients) + (select version from mappings) + (select count(*) from record_versions)";
    for (method, target, body, table) in [
        ("PATCH", format!("/api/patients/{patient}"), Some(json!({ "name": "N" })), "patients"),
        ("DELETE", format!("/api/patients/{patient}"), None, "mappings"),
        ("PATCH", format!("/api/mappings/{mapping}"), Some(json!({ "notes": "N" })), "mappings"),
        ("DELETE", format!("/api/mappings/{mapping}"), None, "mappings"),
    ] {
        let before: i64 = app.sql().query_one(versions, &[]).expect("versions").get(0);
        let mut holder = app.sql();
        let mut held = holder.transaction().expect("a transaction");
        held.batch_execute(&format!("select from {table} for update")).expect("a lock");
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| ben.send(method, &target, &[], body));
            app.wait_until_blocked(1);
            admin.remove_member(&group, &ben);
            held.rollback().expect("the lock is released");
            sent.join().expect("an answer").expect(404, "failed");
        });
        let after: i64 = app.sql().query_one(versions, &[]).expect("versions").get(0);
        assert_eq!(after, before, "{method} {target}");
        admin.add_member(&group, &ben);
    }
}

#[test]
fn changes_of_a_member_who_comes_and_goes_happen_or_do_not_happen_and_are_in_the_trail() {
    let (app, admin, ann, ben, _, group) = ward();
    let there = TestApp::on(&app.database, |_| {});
    let path = format!("/api/patients/{}", ann.new_patient("P0"));
    let changed = std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let change = |number: i32| {
                let node = if number % 2 == 0 { ben.clone() } else { ben.at(&there) };
                node.patch(&path, json!({ "name": format!("B{number}") })).status
            };
            let statuses: Vec<u16> = (0..60).map(change).collect();
            assert!(statuses.iter().all(|status| [200, 404].contains(status)), "{statuses:?}");
            statuses.iter().filter(|status| **status == 200).count()
        });
        for _ in 0..10 {
            admin.remove_member(&group, &ben);
            admin.add_member(&group, &ben);
        }
        changing.join().expect("no panic")
    });
    let updates = app.audited("update");
    assert_eq!(updates.len(), changed);
    assert!(updates.iter().all(|entry| entry["actor_id"] == json!(ben.id)));
    let version: i64 = app.sql().query_one("select version from patients", &[]).expect("a version").get(0);
    assert_eq!(version, i64::try_from(changed).expect("a count") + 1);
}

#[test]
fn a_replay_is_given_as_long_as_its_record_may_be_seen_and_counts_as_a_read() {
    let (app, admin, ann, ben, _, group) = ward();
    let key = [("Idempotency-Key", "one")];
    let patient = json!({ "name": "P", "date_of_birth": "1990-04-23", "gender": "female" });
    let id = ann.send("POST", "/api/patients", &key, Some(patient.clone())).expect(201, "created").id();
    let mapping = json!({ "patient_id": id, "doctor_id": ben.new_doctor("D") });
    let made = ben.send("POST", "/api/mappings", &key, Some(mapping.clone())).expect(201, "created");
    let again = ben.send("POST", "/api/mappings", &key, Some(mapping.clone())).expect(201, "created");
    assert_eq!((again.data(), again.header("idempotency-replayed")), (made.data(), Some("true")));
    admin.remove_member(&group, &ben);
    ben.send("POST", "/api/mappings", &key, Some(mapping.clone())).expect(404, "failed");
    ann.delete(&format!("/api/patients/{id}")).expect(200, "deleted");
    ann.send("POST", "/api/patients", &key, Some(patient)).expect(201, "created");
    ben.send("POST", "/api/mappings", &key, Some(mapping.clone())).expect(404, "failed");
    admin.add_member(&group, &ben);
    ben.send("POST", "/api/mappings", &key, Some(mapping)).expect(201, "created");
    eventually("the reads are in the trail", || app.audited("read").len() == 3);
}

#[test]
fn colleagues_read_histories_see_what_was_deleted_and_bring_it_back() {
    let (_app, admin, ann, ben, eve, group) = ward();
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let path = format!("/api/patients/{patient}");
    ben.patch(&path, json!({ "name": "N" })).expect(200, "updated");
    let history = ben.get(&format!("{path}/history")).expect(200, "success").data();
    assert_eq!((&history[0]["actor_id"], &history[1]["record"]["name"]), (&json!(ben.id), &json!("P")));
    ben.get(&format!("{path}/mappings/{mapping}/history")).expect(200, "success");
    eve.get(&format!("{path}/history")).expect(404, "failed");
    ann.delete(&path).expect(200, "deleted");
    assert_eq!(ben.get("/api/patients/deleted").expect(200, "success").ids(), [patient]);
    assert_eq!(eve.get("/api/patients/deleted").expect(200, "success").data(), json!([]));
    ben.get(&format!("{path}/history")).expect(200, "success");
    let undelete = |person: &Person, target: &str| person.send("POST", &format!("{target}/undelete"), &[], None);
    undelete(&eve, &path).expect(404, "failed");
    admin.remove_member(&group, &ben);
    undelete(&ben, &path).expect(404, "failed");
    ben.get(&format!("{path}/history")).expect(404, "failed");
    admin.add_member(&group, &ben);
    assert_eq!(undelete(&ben, &path).expect(200, "updated").data()["created_by"], ann.id);
    ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
    undelete(&ben, &format!("/api/mappings/{mapping}")).expect(200, "updated");
}
