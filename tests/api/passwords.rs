//! Passwords: each rule for a new one from both sides, taken exactly as sent, and hashes that grow with the configuration.

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, TestApp};

fn register(app: &TestApp, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "email": format!("{name}@example.org"), "password": password });
    app.anyone().post("/api/auth/register", body)
}

/// The password is good for registering and for a change, and logs in afterwards.
#[track_caller]
fn accepted(app: &TestApp, name: &str, password: &str) {
    register(app, name, password).expect(201, "created");
    let user = app.logged_in(&format!("{name}@example.org"), password);
    user.with_new_password(password, PASSWORD).with_new_password(PASSWORD, password);
    app.login(&user.email, password).expect(200, "success");
}

/// The password is refused at both places, and nothing has changed.
#[track_caller]
fn refused(app: &TestApp, name: &str, password: &str) {
    assert_eq!(register(app, name, password).expect(400, "invalid").fields(), ["password"]);
    let user = app.signed_up(name);
    let change = json!({ "current_password": PASSWORD, "new_password": password });
    assert_eq!(user.post("/api/auth/password", change).expect(400, "invalid").fields(), ["new_password"]);
    app.login(&user.email, password).expect(401, "invalid");
    app.login(&user.email, PASSWORD).expect(200, "success");
}

/// The stored hash of a user.
fn stored_hash(app: &TestApp, email: &str) -> String {
    app.sql().query_one("select password_hash from users where email = $1", &[&email]).expect("a user").get(0)
}

#[test]
fn eight_characters_are_enough_and_seven_are_not() {
    let app = TestApp::start();
    accepted(&app, "ascii", "k7#mPq2x");
    refused(&app, "less", "k7#mPq2");
    // Characters count, not bytes.
    accepted(&app, "wide", &"ü".repeat(8));
    refused(&app, "seven", &"🙂".repeat(7));
}

#[test]
fn the_minimum_length_is_configurable() {
    let app = TestApp::with(|config| config.password_min_length = 12);
    accepted(&app, "twelve", "k7#mPq2xk7#m");
    refused(&app, "eleven", "k7#mPq2xk7#");
}

#[test]
fn seventy_two_bytes_are_the_most_and_nothing_is_cut() {
    let app = TestApp::start();
    let longest = "k7#mPq2x".repeat(9);
    assert_eq!(longest.len(), 72);
    accepted(&app, "longest", &longest);
    refused(&app, "longer", &format!("{longest}y"));
    // 18 × 4 bytes; another character does not fit, though there are few.
    accepted(&app, "emoji", &"🙂".repeat(18));
    refused(&app, "more", &format!("{}y", "🙂".repeat(18)));
    for wrong in [&longest[..71], &format!("{longest}y"), &format!("{}y", &longest[..71])] {
        app.login("longest@example.org", wrong).expect(401, "invalid");
    }
}

#[test]
fn a_password_is_taken_exactly_as_it_was_sent() {
    let app = TestApp::start();
    let exact = [
        "  two spaces  ",
        "\u{1F469}\u{200D}\u{2695}\u{FE0F} doctor",
        "Ĉiuj ŝanĝoj",
        "e\u{301}e\u{301}e\u{301}e\u{301}",
        "        ",
    ];
    for (number, password) in exact.into_iter().enumerate() {
        accepted(&app, &format!("user{number}"), password);
    }
    for (number, wrong) in [(0, "two spaces"), (0, " two spaces "), (3, "éééé"), (3, "ÉÉÉÉ")] {
        app.login(&format!("user{number}@example.org"), wrong).expect(401, "invalid");
    }
}

#[test]
fn control_characters_are_refused_in_a_new_password_and_wrong_at_a_login() {
    let app = TestApp::start();
    for (number, control) in ['\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}'].into_iter().enumerate() {
        refused(&app, &format!("user{number}"), &format!("k7#m{control}Pq2x"));
    }
    // bcrypt repeats a password with a NUL behind it until it has 72 bytes, so to bcrypt these are the same.
    let ann = app.signed_up("ann");
    let repeated = format!("{PASSWORD}\0{PASSWORD}");
    for wrong in [&*repeated, &format!("{repeated}\0{PASSWORD}"), &format!("{PASSWORD}\0"), "\0", "\t"] {
        app.login(&ann.email, wrong).expect(401, "invalid");
    }
    let change = json!({ "current_password": repeated, "new_password": "a new pass phrase" });
    ann.post("/api/auth/password", change).expect(401, "invalid");
    app.login(&ann.email, PASSWORD).expect(200, "success");
}

#[test]
fn case_matters() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    app.login(&ann.email, &PASSWORD.to_uppercase()).expect(401, "invalid");
}

#[test]
fn common_passwords_are_refused_unless_the_list_is_off() {
    let app = TestApp::start();
    for (number, common) in ["password", "12345678", "Password1", "QWERTYUIOP", "sunshine"].into_iter().enumerate() {
        refused(&app, &format!("user{number}"), common);
    }
    accepted(&app, "ann", "password by far");
    let lenient = TestApp::with(|config| config.password_blocklist = false);
    accepted(&lenient, "bob", "password");
}

#[test]
fn the_users_address_and_its_first_part_are_refused() {
    let app = TestApp::start();
    for own in ["long.name@example.org", "LONG.NAME@EXAMPLE.ORG", "long.name", "Long.Name"] {
        assert_eq!(register(&app, "long.name", own).expect(400, "invalid").fields(), ["password"]);
    }
    let user = app.signed_up("long.name");
    for own in ["long.name@example.org", "Long.Name"] {
        let change = json!({ "current_password": PASSWORD, "new_password": own });
        assert_eq!(user.post("/api/auth/password", change).expect(400, "invalid").fields(), ["new_password"]);
    }
    let change = json!({ "current_password": PASSWORD, "new_password": "long.name@example.com" });
    user.post("/api/auth/password", change).expect(200, "updated");
}

#[test]
fn a_change_names_every_missing_and_bad_field() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let refused = |body: Value, word: &str| ann.post("/api/auth/password", body).expect(400, word).fields();
    assert_eq!(refused(json!({}), "incomplete"), ["current_password", "new_password"]);
    assert_eq!(
        refused(json!({ "current_password": 1, "new_password": 2 }), "invalid"),
        ["current_password", "new_password"]
    );
    let unknown = json!({ "current_password": PASSWORD, "new_password": "a new pass phrase", "email": "x" });
    assert_eq!(refused(unknown, "invalid"), ["email"]);
    // A request that is refused as malformed counts as no guess.
    assert!(app.audited("login_failed").is_empty());
    app.anyone().post("/api/auth/password", json!({})).expect(401, "forbidden");
}

#[test]
fn a_login_stores_a_stronger_hash_once_the_configuration_asks_for_one() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let stronger = TestApp::on(&app.database, |config| config.bcrypt_cost = 5);
    let weak = stored_hash(&app, &ann.email);
    assert!(weak.starts_with("$2b$04$"), "{weak}");
    stronger.login(&ann.email, "not the password").expect(401, "invalid");
    assert_eq!(stored_hash(&app, &ann.email), weak, "a wrong password changes nothing");
    stronger.login(&ann.email, PASSWORD).expect(200, "success");
    let strong = stored_hash(&app, &ann.email);
    assert!(strong.starts_with("$2b$05$"), "{strong}");
    // Neither a second login nor one at a node with a lower cost changes it again, and sessions go on.
    stronger.login(&ann.email, PASSWORD).expect(200, "success");
    app.login(&ann.email, PASSWORD).expect(200, "success");
    assert_eq!(stored_hash(&app, &ann.email), strong);
    ann.get("/api/auth/me").expect(200, "success");
}

#[test]
fn no_answer_carries_a_password_or_a_hash() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let hash = stored_hash(&app, &ann.email);
    let change = json!({ "current_password": PASSWORD, "new_password": "short" });
    let answers = [
        app.login(&ann.email, PASSWORD),
        ann.get("/api/auth/me"),
        ann.get("/api/auth/sessions"),
        ann.post("/api/auth/password", change),
        root.get("/api/admin/users"),
        root.get(&format!("/api/admin/users/{}", ann.id)),
        root.patch(&format!("/api/admin/users/{}", ann.id), json!({ "disabled": true })),
        root.get("/api/admin/audit"),
    ];
    for answer in answers {
        let text = String::from_utf8(answer.body).expect("text");
        for secret in [PASSWORD, &hash, "$2b$", "password_hash"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
