//! Users: register, me, change the password; then what an admin lists, finds, updates and unlocks.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, TestApp, at_once, count};

/// What the API shows of a user, and nothing else.
const FIELDS: [&str; 10] =
    ["created_at", "disabled", "email", "id", "invited", "may_break_glass", "name", "role", "totp", "updated_at"];

fn a_user(email: &str) -> Value {
    json!({ "name": "Zoë Müller", "email": email, "password": PASSWORD })
}

fn field_names(record: &Value) -> Vec<String> {
    let mut names: Vec<String> = record.as_object().expect("an object").keys().cloned().collect();
    names.sort();
    names
}

fn user_path(user: &Person) -> String {
    format!("/api/admin/users/{}", user.id)
}

#[test]
fn a_new_user_comes_back_without_a_password_and_has_the_role_user() {
    let app = TestApp::start();
    let body = json!({ "name": " Zoë Müller ", "email": " Zoe@Example.ORG ", "password": PASSWORD });
    let created = app.anyone().post("/api/auth/register", body).expect(201, "created");
    assert_eq!(created.location(), "/api/auth/me");
    let user = created.data();
    assert_eq!(field_names(&user), FIELDS);
    assert_eq!((&user["name"], &user["email"]), (&json!("Zoë Müller"), &json!("zoe@example.org")));
    assert_eq!((&user["role"], &user["disabled"]), (&json!("user"), &json!(false)));
    let zoe = app.logged_in("ZOE@example.org", PASSWORD);
    let me = zoe.get(&created.location()).expect(200, "success");
    assert_eq!((me.data(), me.etag()), (user, created.etag()));
}

#[test]
fn no_one_registers_with_a_role_or_another_field_of_their_own() {
    let app = TestApp::start();
    for (field, value) in [("role", json!("admin")), ("disabled", json!(false)), ("id", json!(1))] {
        let mut body = a_user("eve@example.org");
        body[field] = value;
        assert_eq!(app.anyone().post("/api/auth/register", body).expect(400, "invalid").fields(), [field]);
    }
    app.login("eve@example.org", PASSWORD).expect(401, "invalid");
}

#[test]
fn registering_names_every_missing_and_bad_field() {
    let app = TestApp::start();
    let refused = |body: Value, word: &str| app.anyone().post("/api/auth/register", body).expect(400, word).fields();
    assert_eq!(refused(json!({}), "incomplete"), ["name", "email", "password"]);
    assert_eq!(
        refused(json!({ "name": " ", "email": "", "password": "" }), "incomplete"),
        ["name", "email", "password"]
    );
    let bad = json!({ "name": "x".repeat(201), "email": "a@b@example.org", "password": "short" });
    assert_eq!(refused(bad, "invalid"), ["name", "email", "password"]);
    let types = json!({ "name": 5, "email": ["a@example.org"], "password": 12_345_678 });
    assert_eq!(refused(types, "invalid"), ["name", "email", "password"]);
}

#[test]
fn names_and_addresses_have_their_documented_lengths() {
    let app = TestApp::start();
    // 64 + 1 + 189 = 254 characters.
    let domain = format!("{}.{}.{}.org", "d".repeat(63), "d".repeat(63), "d".repeat(57));
    let longest = format!("{}@{domain}", "l".repeat(64));
    assert_eq!(longest.len(), 254);
    let mut body = a_user(&longest);
    body["name"] = json!("ü".repeat(200));
    app.anyone().post("/api/auth/register", body.clone()).expect(201, "created");
    body["email"] = json!(longest.replace(".org", "d.org"));
    body["name"] = json!("ü".repeat(201));
    assert_eq!(app.anyone().post("/api/auth/register", body).expect(400, "invalid").fields(), ["name", "email"]);
}

#[test]
fn an_address_is_taken_whatever_its_case() {
    let app = TestApp::start();
    app.signed_up("ann");
    for email in ["ann@example.org", "ANN@EXAMPLE.ORG", "  Ann@example.Org  "] {
        app.anyone().post("/api/auth/register", a_user(email)).expect(409, "failed");
    }
}

#[test]
fn log_in_and_registration_lower_an_address_in_the_same_way() {
    let app = TestApp::start();
    app.anyone().post("/api/auth/register", a_user("KISS@Example.ORG")).expect(201, "created");
    for email in ["kiss@example.org", "KISS@EXAMPLE.ORG", " Kiss@example.org "] {
        app.login(email, PASSWORD).expect(200, "success");
    }
    // Unicode's lower case of these is, or holds, a letter of the address: they are others all the same, and no addresses.
    for email in [
        "\u{212a}iss@example.org",
        "k\u{130}ss@example.org",
        "ki\u{17f}s@example.org",
        "ki\u{df}@example.org",
        "kis\u{3c2}@example.org",
    ] {
        app.login(email, PASSWORD).expect(401, "invalid");
        assert_eq!(app.anyone().post("/api/auth/register", a_user(email)).expect(400, "invalid").fields(), ["email"]);
    }
}

#[test]
fn of_twenty_registrations_with_one_address_exactly_one_succeeds() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let answers = at_once(20, |number| {
        let node = if number % 2 == 0 { &app } else { &other };
        let email = if number % 3 == 0 { "ANN@example.org" } else { "ann@example.org" };
        node.anyone().post("/api/auth/register", a_user(email))
    });
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 19));
    assert_eq!(app.audited("register").len(), 1);
}

#[test]
fn a_user_sees_only_their_own_account() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let me = ann.get("/api/auth/me").expect(200, "success");
    assert_eq!(field_names(&me.data()), FIELDS);
    assert_eq!(me.id(), ann.id);
    assert_eq!(ann.send("GET", "/api/auth/me", &[("If-None-Match", &me.etag())], None).status, 304);
    ann.get(&user_path(&ann)).expect(403, "forbidden");
}

#[test]
fn a_changed_password_replaces_the_old_one_and_every_token_but_a_new_pair() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    let before = ann.with_pair(&ann.refresh().expect(200, "success").data());
    let earlier = [&elsewhere, &ann, &before];
    for person in earlier {
        person.get("/api/auth/me").expect(200, "success");
    }
    let began = &before.get("/api/auth/sessions").expect(200, "success").data()[0]["created_at"];
    let body = json!({ "current_password": PASSWORD, "new_password": "  a new pass phrase  " });
    let changed = before.post("/api/auth/password", body).expect(200, "updated").data();
    let after = ann.with_pair(&changed);

    for person in earlier {
        person.get("/api/auth/me").expect(401, "forbidden");
        person.refresh().expect(401, "forbidden");
    }
    assert_eq!(changed["user"], after.get("/api/auth/me").expect(200, "success").data());
    let sessions = after.get("/api/auth/sessions").expect(200, "success").data();
    assert_eq!(sessions.as_array().map(Vec::len), Some(1));
    assert_eq!((&sessions[0]["current"], &sessions[0]["created_at"]), (&json!(true), began), "the same one goes on");
    after.refresh().expect(200, "success");
    bob.get("/api/auth/me").expect(200, "success");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    app.login(&ann.email, "a new pass phrase").expect(401, "invalid");
    app.login(&ann.email, "  a new pass phrase  ").expect(200, "success");
}

#[test]
fn a_wrong_current_password_is_a_failed_login() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let change = |current: &str| {
        ann.post("/api/auth/password", json!({ "current_password": current, "new_password": "a new pass phrase" }))
    };
    for _ in 0..10 {
        change("not the password").expect(401, "invalid");
    }
    assert_eq!(app.audited("login_failed").len(), 10);
    assert_eq!(app.audited("lock").len(), 1);
    // The account is locked now: the right one is not believed any more, there and at the door. The session lives.
    change(PASSWORD).expect(401, "invalid");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    ann.get("/api/auth/me").expect(200, "success");
    assert!(app.audited("password_change").is_empty());
}

#[test]
fn a_right_current_password_forgets_the_failures() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for _ in 0..9 {
        app.login(&ann.email, "not the password").expect(401, "invalid");
    }
    let body = json!({ "current_password": PASSWORD, "new_password": "a new pass phrase" });
    ann.post("/api/auth/password", body).expect(200, "updated");
    let failures = app.sql().query("select from login_failures", &[]).expect("rows");
    assert!(failures.is_empty());
}

#[test]
fn an_admin_lists_finds_and_filters_users() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann_x"), app.signed_up("bob"));
    root.patch(&user_path(&bob), json!({ "disabled": true })).expect(200, "updated");
    let found = |query: &str| root.get(&format!("/api/admin/users{query}")).expect(200, "success").ids();
    assert_eq!(found(""), [root.id, ann.id, bob.id]);
    assert_eq!(found("?email=ANN_"), [ann.id]);
    assert!(found("?email=%25").is_empty(), "% is no wildcard");
    assert_eq!(found("?role=admin"), [root.id]);
    assert_eq!(found("?disabled=true"), [bob.id]);
    assert_eq!(found("?disabled=false&role=user"), [ann.id]);
    let page = root.get("/api/admin/users?limit=2&email=example").expect(200, "success");
    assert_eq!(root.get(&page.next().expect("more")).expect(200, "success").ids(), [bob.id]);
    let bad = root.get("/api/admin/users?role=boss&disabled=yes&name=x").expect(400, "invalid");
    assert_eq!(bad.fields(), ["name", "role", "disabled"]);

    let one = root.get(&user_path(&ann)).expect(200, "success");
    assert_eq!((field_names(&one.data()), one.id()), (FIELDS.map(String::from).to_vec(), ann.id));
    root.get("/api/admin/users/999").expect(404, "failed");
    root.get("/api/admin/users/0").expect(400, "invalid");
}

#[test]
fn an_admin_changes_role_and_disabled_and_nothing_else() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let path = user_path(&ann);
    let before = root.get(&path).expect(200, "success");
    let mut sent = before.data();
    sent["role"] = json!("admin");
    sent["name"] = json!("Another name");
    sent["email"] = json!("another@example.org");
    let after = root.put(&path, sent).expect(200, "updated");
    assert_eq!((&after.data()["role"], &after.data()["name"]), (&json!("admin"), &json!("ann")));
    assert_eq!(after.data()["email"], ann.email);
    let stale = [("If-Match", &*before.etag())];
    root.send("PATCH", &path, &stale, Some(json!({ "role": "user" }))).expect(412, "failed");
    let fresh = [("If-Match", &*after.etag())];
    root.send("PATCH", &path, &fresh, Some(json!({ "role": "user" }))).expect(200, "updated");

    assert_eq!(root.patch(&path, json!({ "role": "boss" })).expect(400, "invalid").fields(), ["role"]);
    assert_eq!(root.patch(&path, json!({ "disabled": "yes" })).expect(400, "invalid").fields(), ["disabled"]);
    assert_eq!(root.patch(&path, json!({ "password": PASSWORD })).expect(400, "invalid").fields(), ["password"]);
    root.patch(&path, json!({ "role": null })).expect(400, "incomplete");
    root.patch(&path, json!({})).expect(400, "incomplete");
    root.patch(&path, json!({ "name": "Only a name" })).expect(400, "invalid");
    root.patch("/api/admin/users/999", json!({ "role": "user" })).expect(404, "failed");
    root.delete(&path).expect(405, "failed");
}

#[test]
fn an_admin_unlocks_an_account() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    for _ in 0..10 {
        app.login(&ann.email, "not the password").expect(401, "invalid");
    }
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    let path = format!("{}/unlock", user_path(&ann));
    ann.send("POST", &path, &[], None).expect(403, "forbidden");
    let unlocked = root.send("POST", &path, &[], None).expect(200, "updated");
    assert_eq!(unlocked.id(), ann.id);
    app.login(&ann.email, PASSWORD).expect(200, "success");
    root.send("POST", "/api/admin/users/999/unlock", &[], None).expect(404, "failed");
}

#[test]
fn a_user_changes_the_name_without_and_the_address_only_with_the_password() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    let before = ann.get("/api/auth/me").expect(200, "success");
    let renamed = ann.patch("/api/auth/me", json!({ "name": " Ann Lee " })).expect(200, "updated");
    assert_eq!(renamed.data()["name"], "Ann Lee");
    let stale = [("If-Match", &*before.etag())];
    ann.send("PATCH", "/api/auth/me", &stale, Some(json!({ "name": "Other" }))).expect(412, "failed");
    elsewhere.get("/api/auth/me").expect(200, "success");

    let change = |change: Value| ann.patch("/api/auth/me", change);
    let new = "Ann.Lee@Example.org";
    let missing = change(json!({ "email": new })).expect(400, "incomplete");
    assert_eq!(missing.fields(), ["current_password"]);
    let empty = change(json!({ "email": new, "current_password": "" })).expect(400, "incomplete");
    assert!(empty.fields().contains(&"current_password".to_string()));
    change(json!({ "email": new, "current_password": "not the password" })).expect(401, "invalid");
    assert_eq!(app.audited("login_failed").len(), 1);
    // The present one, in whatever case, needs none.
    change(json!({ "email": "ANN@example.org", "name": "Ann Lee" })).expect(200, "updated");
    let moved = change(json!({ "email": new, "current_password": PASSWORD })).expect(200, "updated");
    assert_eq!(moved.data()["email"], "ann.lee@example.org");
    ann.get("/api/auth/me").expect(200, "success");
    elsewhere.get("/api/auth/me").expect(401, "forbidden");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    app.login(new, PASSWORD).expect(200, "success");

    let entries = app.audited("profile_change");
    let was: Vec<(&Value, &Value)> =
        entries.iter().map(|entry| (&entry["before"]["name"], &entry["before"]["email"])).collect();
    assert_eq!(was, [(&json!("ann"), &json!(ann.email)), (&json!("Ann Lee"), &json!(ann.email))]);
    assert!(entries.iter().all(|entry| entry["actor_id"] == ann.id && entry["resource_id"] == ann.id));
}

#[test]
fn a_taken_address_is_told_only_after_the_password() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let change =
        |password: &str| ann.patch("/api/auth/me", json!({ "email": bob.email, "current_password": password }));
    change("not the password").expect(401, "invalid");
    change(PASSWORD).expect(409, "failed");
    // A right password is no failed login, whatever became of the change.
    assert!(app.sql().query("select from login_failures", &[]).expect("rows").is_empty());
}

#[test]
fn a_new_address_counts_against_the_rate_limit_and_a_new_name_does_not() {
    let app = TestApp::with(|config| config.auth_rate_per_minute = 4);
    let ann = app.signed_up("ann"); // two of the four
    for _ in 0..5 {
        ann.patch("/api/auth/me", json!({ "name": "N" })).expect(200, "updated");
    }
    for _ in 0..2 {
        ann.patch("/api/auth/me", json!({ "email": ann.email })).expect(200, "updated");
    }
    ann.patch("/api/auth/me", json!({ "email": ann.email })).expect(429, "failed");
}

#[test]
fn an_admin_mends_name_and_address_of_an_account_that_is_still_invited() {
    let app = TestApp::start();
    let root = app.admin("root");
    let made = root.post("/api/admin/users", json!({ "name": "An", "email": "an@example.org" })).expect(201, "created");
    let token = made.data()["invitation"]["token"].as_str().expect("a token").to_string();
    let path = made.location();
    root.patch(&path, json!({ "name": "Ann" })).expect(200, "updated");
    let mended = root.patch(&path, json!({ "email": "ann@example.org" })).expect(200, "updated");
    assert_eq!((&mended.data()["name"], &mended.data()["email"]), (&json!("Ann"), &json!("ann@example.org")));
    root.patch(&path, json!({ "email": root.email })).expect(409, "failed");
    assert_eq!(app.audited("profile_change").len(), 2);
    // The invitation went to the wrong address, and is over.
    app.anyone().reset(&token, PASSWORD).expect(401, "invalid");
    app.anyone().reset(&root.reset_token(made.id()), PASSWORD).expect(200, "updated");
    // From now on the account is its owner's.
    assert_eq!(root.patch(&path, json!({ "name": "Other" })).expect(400, "invalid").fields(), ["name"]);
    let kept = root.patch(&path, json!({ "name": "Other", "role": "admin" })).expect(200, "updated");
    assert_eq!(kept.data()["name"], "Ann");
}
