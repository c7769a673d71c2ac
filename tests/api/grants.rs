//! Shares: one patient for one user; who makes them, what they allow, and when they end.

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{Person, TestApp, at_once, count, eventually};

/// Ann's patient, and people: an admin, Ann, Ben and Eve.
struct World {
    app: TestApp,
    admin: Person,
    ann: Person,
    ben: Person,
    eve: Person,
    patient: i64,
    path: String,
}

fn world() -> World {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let patient = ann.new_patient("Shared");
    World { app, admin, ann, ben, eve, patient, path: format!("/api/patients/{patient}") }
}

impl World {
    fn share(&self, by: &Person, body: Value) -> Answer {
        by.post(&format!("{}/shares", self.path), body)
    }

    fn shared(&self, by: &Person, to: &Person, can_change: bool) -> String {
        self.share(by, json!({ "user_id": to.id, "can_change": can_change })).expect(201, "created").location()
    }
}

#[test]
fn the_patients_of_one_owner_are_none_that_others_share_with_that_owner() {
    let world = world();
    let World { app, admin, ann, ben, patient, .. } = &world;
    let cleo = app.signed_up("cleo");
    admin.new_group("Ward", &[ben, &cleo]);
    let mapping = ann.new_mapping(*patient, ann.new_doctor("D"));
    world.shared(ann, ben, true);
    let bens = ben.new_patient("Ben's");
    cleo.get(&world.path).expect(404, "failed");

    let filters = ["", "&sort=name", "&name=e", "&q=e", "&gender=female", "&limit=500", "&count=true"];
    for (person, lists) in [(&cleo, "/api"), (ben, "/api"), (admin, "/api/admin")] {
        for filter in filters {
            let answer = person.get(&format!("{lists}/patients?created_by={}{filter}", ben.id)).expect(200, "success");
            assert_eq!(answer.ids(), [bens], "{} {filter}", person.email);
            assert_eq!(answer.header("x-total-count"), (filter == "&count=true").then_some("1"));
        }
    }
    for filter in ["", "&limit=500", &format!("&patient_id={patient}")] {
        let answer = admin.get(&format!("/api/admin/mappings?created_by={}{filter}", ben.id)).expect(200, "success");
        assert!(answer.ids().is_empty(), "{filter}: {mapping}");
    }
    let shared = ben.get(&format!("/api/mappings?patient_id={patient}")).expect(200, "success");
    assert_eq!(shared.ids(), [mapping]);
}

#[test]
fn a_patient_shared_read_only_is_seen_and_listed_and_a_change_is_403() {
    let world = world();
    let World { ann, ben, path, patient, .. } = &world;
    ben.get(path).expect(404, "failed");
    let made = world.share(ann, json!({ "email": " BEN@example.org " })).expect(201, "created");
    let share = made.data();
    let names: Vec<&String> = share.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["can_change", "expires_at", "granted_at", "granted_by", "id", "patient_id", "user_id"]);
    assert_eq!(
        (&share["user_id"], &share["can_change"], &share["granted_by"]),
        (&json!(ben.id), &json!(false), &json!(ann.id))
    );
    assert_eq!(made.location(), format!("{path}/shares/{}", share["id"]));

    let mapping = ann.new_mapping(*patient, ann.new_doctor("D"));
    let bens = ben.new_patient("Ben's");
    assert_eq!(ben.get(path).expect(200, "success").data()["created_by"], ann.id);
    for list in ["/api/patients", "/api/patients?sort=name", "/api/patients?q=e", "/api/patients?name=e&count=true"] {
        let mut ids = ben.get(list).expect(200, "success").ids();
        ids.sort_unstable();
        assert_eq!(ids, [*patient, bens], "{list}");
    }
    assert_eq!(ben.get("/api/patients?q=Shared&count=true").expect(200, "success").header("x-total-count"), Some("1"));
    for list in ["/api/mappings".into(), format!("{path}/mappings"), format!("/api/mappings?patient_id={patient}")] {
        assert_eq!(ben.get(&list).expect(200, "success").ids(), [mapping], "{list}");
    }
    ben.get(&format!("{path}/mappings/{mapping}")).expect(200, "success");
    let doctor = ben.new_doctor("Another");
    let mapping = format!("/api/mappings/{mapping}");
    for (method, target, body) in [
        ("PATCH", path.clone(), Some(json!({ "name": "N" }))),
        ("PUT", path.clone(), Some(json!({ "name": "Shared" }))),
        ("DELETE", path.clone(), None),
        ("POST", "/api/mappings".into(), Some(json!({ "patient_id": patient, "doctor_id": doctor }))),
        ("PATCH", mapping.clone(), Some(json!({ "notes": "N" }))),
        ("DELETE", mapping.clone(), None),
        ("POST", format!("{path}/shares"), Some(json!({ "user_id": world.eve.id }))),
    ] {
        ben.send(method, &target, &[], body).expect(403, "forbidden");
    }
    let refused = || world.app.audited("denied");
    eventually("the refusals are recorded", || refused().len() == 7);
    let of_patient =
        refused().iter().filter(|entry| entry["resource"] == "patient" && entry["resource_id"] == *patient).count();
    assert_eq!(of_patient, 4, "three changes and a share: {:?}", refused());
    assert_eq!(ann.get(path).expect(200, "success").data()["name"], "Shared");
    world.eve.get(path).expect(404, "failed");
}

#[test]
fn a_share_with_can_change_allows_changes_but_no_deletion_and_no_further_share() {
    let world = world();
    let World { ann, ben, path, patient, .. } = &world;
    world.shared(ann, ben, true);
    ben.patch(path, json!({ "phone": "+49 30 1234567" })).expect(200, "updated");
    let mapping = ben.new_mapping(*patient, ben.new_doctor("D"));
    let mapping = format!("/api/mappings/{mapping}");
    ben.patch(&mapping, json!({ "notes": "N" })).expect(200, "updated");
    // Not to a patient whom the user may not change.
    let other = ann.new_patient("Not shared");
    ben.patch(&mapping, json!({ "patient_id": other })).expect(404, "failed");
    ben.delete(&mapping).expect(200, "deleted");
    ben.send("POST", &format!("{mapping}/undelete"), &[], None).expect(200, "updated");
    ben.get(&format!("{path}/history")).expect(200, "success");
    ben.delete(path).expect(403, "forbidden");
    world.share(ben, json!({ "user_id": world.eve.id })).expect(403, "forbidden");
    assert_eq!(world.app.audited("update")[0]["actor_id"], json!(ben.id));
}

#[test]
fn owner_colleague_and_admin_share_and_every_mistake_is_named() {
    let world = world();
    let World { app, admin, ann, ben, eve, path, .. } = &world;
    admin.new_group("Ward", &[ann, ben]);
    let refused = |body: Value, word: &str| world.share(ann, body).expect(400, word).fields();
    assert_eq!(refused(json!({}), "incomplete"), ["user_id"]);
    assert_eq!(refused(json!({ "user_id": 1, "email": "a@example.org" }), "invalid"), ["email"]);
    assert_eq!(refused(json!({ "user_id": 1, "expires_at": "2020-01-01T00:00:00Z" }), "invalid"), ["expires_at"]);
    assert_eq!(refused(json!({ "user_id": "x", "can_change": 1 }), "invalid"), ["user_id", "can_change"]);
    world.share(ann, json!({ "user_id": 999 })).expect(404, "failed");
    world.share(ann, json!({ "email": "nobody@example.org" })).expect(404, "failed");
    world.share(ann, json!({ "user_id": ann.id })).expect(409, "failed");
    world.share(ben, json!({ "user_id": ben.id })).expect(409, "failed");
    world.share(ben, json!({ "user_id": ann.id })).expect(409, "failed");
    world.share(eve, json!({ "user_id": ben.id })).expect(404, "failed");

    let share = world.shared(ben, eve, false);
    world.share(ann, json!({ "user_id": eve.id })).expect(409, "failed");
    eve.get(path).expect(200, "success");
    let entry = app.audited("share").into_iter().find(|entry| entry["resource"] == "grant").expect("an entry");
    assert_eq!((&entry["actor_id"], &entry["resource_ids"]), (&json!(ben.id), &json!([world.patient])));
    ann.delete(&share).expect(200, "deleted");
    ann.delete(&share).expect(404, "failed");
    eve.get(path).expect(404, "failed");
    assert_eq!(app.audited("unshare").last().expect("an entry")["resource"], "grant");

    let by_admin = admin.post(&format!("/api/admin/patients/{}/shares", world.patient), json!({ "user_id": eve.id }));
    let by_admin = by_admin.expect(201, "created");
    let location = by_admin.location();
    assert_eq!(location, format!("/api/admin/patients/{}/shares/{}", world.patient, by_admin.id()));
    eve.get(path).expect(200, "success");
    admin.delete(&location).expect(200, "deleted");
    admin.post("/api/admin/patients/999/shares", json!({ "user_id": eve.id })).expect(404, "failed");
}

#[test]
fn everybody_who_sees_the_patient_sees_the_live_shares_and_the_one_whom_it_is_for_ends_it() {
    let world = world();
    let World { app, ann, ben, eve, path, .. } = &world;
    let (first, second) = (world.shared(ann, ben, false), world.shared(ann, eve, true));
    let list = format!("{path}/shares");
    for person in [ann, ben, eve] {
        assert_eq!(person.get(&list).expect(200, "success").data().as_array().map(Vec::len), Some(2));
    }
    app.signed_up("stranger").get(&list).expect(404, "failed");
    ben.delete(&second).expect(403, "forbidden");
    ben.delete(&first).expect(200, "deleted");
    ben.get(path).expect(404, "failed");
    ben.get(&list).expect(404, "failed");
    assert_eq!(ann.get(&list).expect(200, "success").data()[0]["user_id"], eve.id);
    assert_eq!(ann.new_patient("Other"), world.patient + 1);
    let none = ann.get(&format!("/api/patients/{}/shares", world.patient + 1)).expect(200, "success");
    assert_eq!(none.data(), json!([]));
}

#[test]
fn a_share_ends_at_its_time_to_the_second_and_is_then_as_if_there_were_none() {
    let world = world();
    let World { app, ann, ben, path, .. } = &world;
    let soon = "2099-01-01T00:00:00Z";
    let made =
        world.share(ann, json!({ "user_id": ben.id, "can_change": true, "expires_at": soon })).expect(201, "created");
    assert_eq!(made.data()["expires_at"], soon);
    ben.get(path).expect(200, "success");
    let shift = |interval: &str| {
        let text = format!("update patient_grants set expires_at = now() + interval '{interval}'");
        app.sql().execute(&text, &[]).expect("another end");
    };
    shift("2 seconds");
    ben.get(path).expect(200, "success");
    ben.patch(path, json!({ "name": "Still" })).expect(200, "updated");
    shift("-1 millisecond");
    ben.get(path).expect(404, "failed");
    ben.patch(path, json!({ "name": "Late" })).expect(404, "failed");
    assert_eq!(ben.get("/api/patients").expect(200, "success").data(), json!([]));
    assert_eq!(ann.get(&format!("{path}/shares")).expect(200, "success").data(), json!([]));
    ann.delete(&made.location()).expect(404, "failed");
    // It does not stand in the way of a new one.
    world.shared(ann, ben, false);
    ben.get(path).expect(200, "success");
}

#[test]
fn a_share_ends_for_good_when_its_maker_may_no_longer_change_the_patient() {
    let world = world();
    let World { app, admin, ann, ben, eve, path, .. } = &world;
    let group = admin.new_group("Ward", &[ann, ben]);
    world.shared(ben, eve, false);
    eve.get(path).expect(200, "success");
    admin.remove_member(&group, ben);
    eve.get(path).expect(404, "failed");
    admin.add_member(&group, ben);
    eve.get(path).expect(404, "failed");

    // The owner leaves, or the group ends: for its members that is the same.
    world.shared(ben, eve, false);
    admin.remove_member(&group, ann);
    eve.get(path).expect(404, "failed");
    admin.add_member(&group, ann);
    world.shared(ben, eve, false);
    world.shared(ann, &app.signed_up("zoe"), false);
    admin.delete(&format!("{group}?force=true")).expect(200, "deleted");
    eve.get(path).expect(404, "failed");
    assert_eq!(
        ann.get(&format!("{path}/shares")).expect(200, "success").data().as_array().map(Vec::len),
        Some(1),
        "the owner's own stays"
    );

    // An admin who is none any more.
    let other = app.admin("other");
    other
        .post(&format!("/api/admin/patients/{}/shares", world.patient), json!({ "user_id": eve.id }))
        .expect(201, "created");
    eve.get(path).expect(200, "success");
    admin.patch(&format!("/api/admin/users/{}", other.id), json!({ "role": "user" })).expect(200, "updated");
    eve.get(path).expect(404, "failed");
}

#[test]
fn a_delete_ends_every_share() {
    let world = world();
    let World { app, ann, ben, path, .. } = &world;
    world.shared(ann, ben, true);
    ann.delete(path).expect(200, "deleted");
    ben.get(path).expect(404, "failed");
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(200, "updated");
    ben.get(path).expect(404, "failed");
    let live = "select count(*) from patient_grants where ended_at is null";
    assert_eq!(app.sql().query_one(live, &[]).expect("a count").get::<_, i64>(0), 0);
}

#[test]
fn of_many_who_share_at_once_with_one_user_one_does_and_nobody_goes_beyond_fifty() {
    let world = world();
    let World { app, ann, ben, path, .. } = &world;
    let other = TestApp::on(&app.database, |_| {});
    let answers = at_once(8, |number| {
        let node = if number % 2 == 0 { ann.clone() } else { ann.at(&other) };
        node.post(&format!("{path}/shares"), json!({ "user_id": ben.id }))
    });
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 7));
    let fill = "with people as (insert into users (name, email, password_hash)
                            select 'U', 'u' || n || '@example.org', '-' from generate_series(1, 56) n returning id)
                select array_agg(id) from people";
    let people: Vec<i64> = app.sql().query_one(fill, &[]).expect("people").get(0);
    let grant = "insert into patient_grants (patient_id, user_id, kind, granted_by) select $1, id, 'share', $2 from unnest($3::bigint[]) id";
    app.sql().execute(grant, &[&world.patient, &ann.id, &people[..48].to_vec()]).expect("shares");
    let answers = at_once(8, |number| ann.post(&format!("{path}/shares"), json!({ "user_id": people[48 + number] })));
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 7));
}

#[test]
fn a_share_that_is_made_while_its_maker_is_taken_out_does_not_outlive_the_membership() {
    let world = world();
    let World { app, admin, ann, ben, eve, path, .. } = &world;
    let group = admin.new_group("Ward", &[ann, ben]);
    for _ in 0..10 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let status = world.share(ben, json!({ "user_id": eve.id })).status;
                assert!([201, 404].contains(&status), "{status}");
            });
            scope.spawn(|| admin.remove_member(&group, ben));
        });
        eve.get(path).expect(404, "failed");
        let live = "select count(*) from patient_grants where ended_at is null";
        assert_eq!(app.sql().query_one(live, &[]).expect("a count").get::<_, i64>(0), 0);
        admin.add_member(&group, ben);
    }
}
