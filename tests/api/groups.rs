//! Care groups: an admin makes, lists, finds, changes and deletes them, and puts people in and takes them out.

use serde_json::{Value, json};

use crate::harness::{Person, TestApp, at_once, count};

fn member_path(group: &str, user_id: i64) -> String {
    format!("{group}/members/{user_id}")
}

fn member_ids(admin: &Person, group: &str) -> Vec<i64> {
    let data = admin.get(&format!("{group}/members")).expect(200, "success").data();
    data.as_array().expect("a list").iter().map(|member| member["user_id"].as_i64().expect("an id")).collect()
}

#[test]
fn an_admin_makes_renames_and_deletes_a_group_and_each_step_is_in_the_trail() {
    let app = TestApp::start();
    let admin = app.admin("root");
    let made = admin.post("/api/admin/groups", json!({ "name": " Ward 1 " })).expect(201, "created");
    let (path, group) = (made.location(), made.data());
    assert_eq!(path, format!("/api/admin/groups/{}", made.id()));
    assert_eq!(group["name"], "Ward 1");
    let found = admin.get(&path).expect(200, "success");
    assert_eq!((found.data(), found.etag()), (group.clone(), made.etag()));
    let renamed = admin.patch(&path, json!({ "name": "Ward 2" })).expect(200, "updated");
    assert_ne!(renamed.etag(), made.etag());
    let stale = [("If-Match", made.etag())];
    let stale: Vec<(&str, &str)> = stale.iter().map(|(name, value)| (*name, &**value)).collect();
    admin.send("PUT", &path, &stale, Some(json!({ "name": "Ward 3" }))).expect(412, "failed");
    admin.send("DELETE", &path, &stale, None).expect(412, "failed");
    let same = admin.put(&path, json!({ "name": "Ward 2", "id": 7 })).expect(200, "updated");
    assert_eq!(same.etag(), renamed.etag(), "what changes nothing writes nothing");
    assert_eq!(admin.get("/api/admin/groups").expect(200, "success").ids(), [made.id()]);
    admin.delete(&path).expect(200, "deleted");
    admin.get(&path).expect(404, "failed");
    admin.put(&path, json!({ "name": "Ward 4" })).expect(404, "failed");
    admin.delete(&path).expect(404, "failed");
    let entries = |action: &str| -> Vec<Value> {
        app.audited(action).into_iter().filter(|entry| entry["resource"] == "care_group").collect()
    };
    assert_eq!((entries("create").len(), entries("update").len(), entries("delete").len()), (1, 1, 1));
    assert_eq!(entries("update")[0]["before"]["name"], "Ward 1");
    assert_eq!(entries("delete")[0]["before"]["name"], "Ward 2");
    assert_eq!(entries("delete")[0]["resource_id"].as_i64(), Some(made.id()));
}

#[test]
fn a_name_has_its_rules_and_is_unique_without_case() {
    let app = TestApp::start();
    let admin = app.admin("root");
    let refused = |body: Value, word: &str| admin.post("/api/admin/groups", body).expect(400, word).fields();
    assert_eq!(refused(json!({}), "incomplete"), ["name"]);
    assert_eq!(refused(json!({ "name": "x".repeat(201) }), "invalid"), ["name"]);
    assert_eq!(refused(json!({ "name": "x", "members": [] }), "invalid"), ["members"]);
    let path = admin.new_group("Übergabe", &[]);
    admin.post("/api/admin/groups", json!({ "name": "üBERGABE" })).expect(409, "failed");
    let other = admin.new_group("Other", &[]);
    admin.patch(&other, json!({ "name": "ÜBERGABE" })).expect(409, "failed");
    admin.patch(&path, json!({ "name": "ÜBERGABE" })).expect(200, "updated");
    let answers = at_once(10, |_| admin.post("/api/admin/groups", json!({ "name": "Race" })));
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 9));
}

#[test]
fn members_come_and_go_and_each_sees_the_group_with_all_of_them() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    assert_eq!(ann.get("/api/auth/groups").expect(200, "success").data(), json!([]));
    let path = admin.new_group("Ward", &[&ben, &ann]);
    let id: i64 = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
    let mine = json!([{ "id": id, "name": "Ward", "members": [{ "id": ann.id, "name": "ann" }, { "id": ben.id, "name": "ben" }] }]);
    assert_eq!(ann.get("/api/auth/groups").expect(200, "success").data(), mine);
    assert_eq!(ben.get("/api/auth/groups").expect(200, "success").data(), mine);
    assert_eq!(admin.get("/api/auth/groups").expect(200, "success").data(), json!([]));

    let again = admin.send("PUT", &member_path(&path, ann.id), &[], None).expect(200, "updated").data();
    assert_eq!(
        (&again["user_id"], &again["name"], &again["added_by"]),
        (&json!(ann.id), &json!("ann"), &json!(admin.id))
    );
    assert_eq!((&again["email"], &again["disabled"]), (&json!(ann.email), &json!(false)));
    let shared = app.audited("share");
    assert_eq!(shared.len(), 2, "somebody who is a member is not added again");
    assert_eq!((&shared[1]["resource"], &shared[1]["resource_ids"]), (&json!("care_group"), &json!([ann.id])));
    assert_eq!((&shared[1]["resource_id"], &shared[1]["actor_id"]), (&json!(id), &json!(admin.id)));

    let first = admin.get(&format!("{path}/members?limit=1")).expect(200, "success");
    assert_eq!(first.data()[0]["user_id"], ann.id);
    let next = first.header("link").expect("a link").split(['<', '>']).nth(1).expect("a target").to_string();
    assert_eq!(admin.get(&next).expect(200, "success").data()[0]["user_id"], ben.id);

    admin.delete(&member_path(&path, ann.id)).expect(200, "deleted");
    admin.delete(&member_path(&path, ann.id)).expect(404, "failed");
    assert_eq!(app.audited("unshare")[0]["resource_ids"], json!([ann.id]));
    assert_eq!(member_ids(&admin, &path), [ben.id]);
    assert_eq!(ann.get("/api/auth/groups").expect(200, "success").data(), json!([]));

    let nobody = ben.id + 1000;
    for wrong in [member_path(&path, nobody), member_path("/api/admin/groups/999", ann.id)] {
        admin.send("PUT", &wrong, &[], None).expect(404, "failed");
        admin.delete(&wrong).expect(404, "failed");
    }
    admin.get("/api/admin/groups/999/members").expect(404, "failed");
    admin.delete(&member_path(&path, ben.id)).expect(200, "deleted");
    assert_eq!(member_ids(&admin, &path), Vec::<i64>::new(), "a group may be empty");
}

#[test]
fn a_disabled_user_stays_a_member() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let path = admin.new_group("Ward", &[&ann, &ben]);
    admin.patch(&format!("/api/admin/users/{}", ann.id), json!({ "disabled": true })).expect(200, "updated");
    let members = admin.get(&format!("{path}/members")).expect(200, "success").data();
    assert_eq!((&members[0]["user_id"], &members[0]["disabled"]), (&json!(ann.id), &json!(true)));
}

#[test]
fn a_member_who_owns_patients_is_taken_out_only_by_force_and_such_a_group_deleted_only_by_force() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    ann.new_patient("P");
    let path = admin.new_group("Ward", &[&ann, &ben]);
    admin.delete(&member_path(&path, ann.id)).expect(409, "failed");
    admin.delete(&path).expect(409, "failed");
    admin.delete(&format!("{path}?force=false")).expect(409, "failed");
    assert_eq!(admin.delete(&format!("{path}?force=maybe")).expect(400, "invalid").fields(), ["force"]);
    assert_eq!(member_ids(&admin, &path), [ann.id, ben.id]);
    assert!(app.audited("unshare").is_empty());

    admin.delete(&member_path(&path, ben.id)).expect(200, "deleted");
    admin.delete(&format!("{}?force=true", member_path(&path, ann.id))).expect(200, "deleted");
    let path = admin.new_group("Again", &[&ann, &ben]);
    let left = app.audited("unshare").len();
    admin.delete(&format!("{path}?force=true")).expect(200, "deleted");
    let told: Vec<Value> = app.audited("unshare").split_off(left);
    let mut out: Vec<i64> = told.iter().map(|entry| entry["resource_ids"][0].as_i64().expect("a user")).collect();
    out.sort_unstable();
    assert_eq!(out, [ann.id, ben.id], "an entry for each member who goes with the group");
}

/// Adds accounts that nobody logs in to.
fn make_users(app: &TestApp, count: i32) -> Vec<i64> {
    let text = "insert into users (name, email, password_hash)
                select 'U', 'u' || n || '@example.org', '-' from generate_series(1, $1) n returning id";
    app.sql().query(text, &[&count]).expect("users").iter().map(|row| row.get(0)).collect()
}

#[test]
fn of_many_who_want_the_last_place_of_a_group_one_gets_it() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let admin = app.admin("root");
    let (path, users) = (admin.new_group("Ward", &[]), make_users(&app, 208));
    let fill = "insert into care_group_members select 1, id, 1 from unnest($1::bigint[]) id";
    app.sql().execute(fill, &[&users[..199].to_vec()]).expect("members");
    let answers = at_once(8, |number| {
        let node = if number % 2 == 0 { &app } else { &other };
        admin.at(node).send("PUT", &member_path(&path, users[200 + number]), &[], None)
    });
    assert_eq!((count(&answers, 200), count(&answers, 409)), (1, 7));
    assert_eq!(
        app.sql().query_one("select count(*) from care_group_members", &[]).expect("a count").get::<_, i64>(0),
        200
    );
    admin.send("PUT", &member_path(&path, users[0]), &[], None).expect(200, "updated");
}

#[test]
fn nobody_gets_into_more_than_eight_groups_whoever_adds_at_the_same_time() {
    let app = TestApp::start();
    let (admin, ann) = (app.admin("root"), app.signed_up("ann"));
    let paths: Vec<String> = (0..12).map(|number| admin.new_group(&format!("Ward {number}"), &[])).collect();
    let answers = at_once(12, |number| admin.send("PUT", &member_path(&paths[number], ann.id), &[], None));
    assert_eq!((count(&answers, 200), count(&answers, 409)), (8, 4));
    assert_eq!(ann.get("/api/auth/groups").expect(200, "success").data().as_array().map(Vec::len), Some(8));
}

#[test]
fn an_admin_who_is_demoted_while_the_change_waits_changes_no_members() {
    let app = TestApp::start();
    let (admin, ann) = (app.admin("root"), app.signed_up("ann"));
    app.admin("other");
    let path = admin.new_group("Ward", &[]);
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute("select from care_groups for update").expect("a lock");
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| admin.send("PUT", &member_path(&path, ann.id), &[], None));
        app.wait_until_blocked(1);
        app.sql().execute("update users set role = 'user' where id = $1", &[&admin.id]).expect("a demotion");
        held.rollback().expect("the lock is released");
        sent.join().expect("an answer").expect(403, "forbidden");
    });
    assert_eq!(ann.get("/api/auth/groups").expect(200, "success").data(), json!([]));
}
