//! Abuse: the lock of an account after wrong passwords, rate limits per client address, and whose `X-Forwarded-For` counts.

use std::time::{Duration, Instant};

use healthcare_backend::{Config, Network};
use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, TestApp, at_once, count};

const WRONG: &str = "not the password";

/// Behind a proxy on this machine, so that a test can come from any address.
fn behind_a_proxy(config: &mut Config) {
    config.trusted_proxies = vec![Network::parse("127.0.0.0/8").expect("a network")];
}

fn login_from(app: &TestApp, client: &str, email: &str, password: &str) -> Answer {
    app.login_from(email, password, &[("X-Forwarded-For", client)])
}

/// Everything by which a client could tell two answers apart: all but the request id and the date.
fn appearance(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let changing = ["x-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str())).cloned().collect();
    (answer.status, headers, answer.body.clone())
}

/// Rows of `login_failures`: network, failures in a row, and whether it is locked.
fn failures(app: &TestApp) -> Vec<(String, i32, bool)> {
    let query = "select network, failures, coalesce(locked_until > now(), false) from login_failures order by network";
    let rows = app.sql().query(query, &[]).expect("rows");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn nine_wrong_passwords_do_not_lock_and_the_tenth_does() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    for _ in 0..9 {
        app.login(&ann.email, WRONG).expect(401, "invalid");
    }
    app.login(&ann.email, PASSWORD).expect(200, "success");
    assert!(failures(&app).is_empty(), "a correct login resets");
    assert!(app.audited("lock").is_empty());
    for _ in 0..10 {
        app.login(&ann.email, WRONG).expect(401, "invalid");
    }
    app.login("ANN@example.org", PASSWORD).expect(401, "invalid");
    app.login(&bob.email, PASSWORD).expect(200, "success");
    // A user who is logged in stays logged in.
    ann.get("/api/auth/me").expect(200, "success");
    ann.refresh().expect(200, "success");
}

#[test]
fn a_lock_lasts_fifteen_minutes_and_wrong_passwords_do_not_prolong_it() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for _ in 0..10 {
        app.login(&ann.email, WRONG).expect(401, "invalid");
    }
    let query =
        "select extract(epoch from locked_until - last_failed_at)::bigint, locked_until::text from login_failures
                  where locked_until is not null";
    let before = app.sql().query_one(query, &[]).expect("a lock");
    assert_eq!(before.get::<_, i64>(0), 900);
    app.login(&ann.email, WRONG).expect(401, "invalid");
    let after = app.sql().query_one(query, &[]).expect("a lock");
    assert_eq!(before.get::<_, String>(1), after.get::<_, String>(1));

    let shift =
        "update login_failures set locked_until = locked_until - interval '899 seconds' where locked_until is not null";
    app.sql().execute(shift, &[]).expect("almost over");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    app.sql().execute("update login_failures set locked_until = now()", &[]).expect("over");
    for _ in 0..9 {
        app.login(&ann.email, WRONG).expect(401, "invalid");
    }
    app.login(&ann.email, PASSWORD).expect(200, "success");
}

#[test]
fn the_lock_is_for_one_address_and_an_ipv6_64_is_one() {
    let app = TestApp::with(behind_a_proxy);
    let ann = app.signed_up("ann");
    for _ in 0..10 {
        login_from(&app, "192.0.2.1", &ann.email, WRONG).expect(401, "invalid");
    }
    login_from(&app, "192.0.2.1", &ann.email, PASSWORD).expect(401, "invalid");
    login_from(&app, "::ffff:192.0.2.1", &ann.email, PASSWORD).expect(401, "invalid");
    login_from(&app, "192.0.2.2", &ann.email, PASSWORD).expect(200, "success");
    // A correct login from elsewhere does not unlock the account for the address that guesses.
    login_from(&app, "192.0.2.1", &ann.email, PASSWORD).expect(401, "invalid");

    for host in 1..=10 {
        login_from(&app, &format!("2001:db8:0:1::{host}"), &ann.email, WRONG).expect(401, "invalid");
    }
    login_from(&app, "2001:db8:0:1:ffff::1", &ann.email, PASSWORD).expect(401, "invalid");
    login_from(&app, "2001:db8:0:2::1", &ann.email, PASSWORD).expect(200, "success");
}

#[test]
fn ninety_nine_wrong_passwords_from_anywhere_do_not_lock_and_the_hundredth_does() {
    let app = TestApp::with(behind_a_proxy);
    let ann = app.signed_up("ann");
    let guess = |number: i32| {
        login_from(&app, &format!("198.51.100.{}", number / 9), &ann.email, WRONG).expect(401, "invalid");
    };
    (0..99).for_each(guess);
    login_from(&app, "192.0.2.1", &ann.email, PASSWORD).expect(200, "success");
    app.sql().execute("delete from login_failures", &[]).expect("a fresh start");
    (0..100).for_each(guess);
    assert_eq!(app.audited("lock").len(), 1);
    for client in ["192.0.2.1", "2001:db8::1", "198.51.100.0"] {
        login_from(&app, client, &ann.email, PASSWORD).expect(401, "invalid");
    }
}

#[test]
fn of_fifty_wrong_passwords_at_once_no_more_than_ten_are_checked() {
    let first = TestApp::start();
    let nodes: Vec<TestApp> = (0..4).map(|_| TestApp::on(&first.database, |_| {})).collect();
    let ann = first.signed_up("ann");
    let answers = at_once(50, |number| nodes[number % nodes.len()].login(&ann.email, WRONG));
    assert_eq!(count(&answers, 401), 50);
    let total = |result: &str| -> f64 {
        nodes.iter().map(|node| node.metric(&format!("logins_total{{result=\"{result}\"}}"))).sum()
    };
    assert_eq!((total("ok"), total("failed"), total("locked")), (0.0, 10.0, 40.0));
    assert_eq!(failures(&first), [("*".to_string(), 10, false), ("127.0.0.1".to_string(), 10, true)]);
    assert_eq!((first.audited("login_failed").len(), first.audited("lock").len()), (50, 1));
    first.login(&ann.email, PASSWORD).expect(401, "invalid");
}

#[test]
fn of_many_wrong_passwords_at_once_from_many_addresses_no_more_than_the_total_are_checked() {
    let limits = |config: &mut Config| {
        behind_a_proxy(config);
        config.login_max_failures_total = 20;
    };
    let first = TestApp::with(limits);
    let nodes: Vec<TestApp> = (0..4).map(|_| TestApp::on(&first.database, limits)).collect();
    let ann = first.signed_up("ann");
    let answers = at_once(50, |number| {
        login_from(&nodes[number % nodes.len()], &format!("198.51.100.{number}"), &ann.email, WRONG)
    });
    assert_eq!(count(&answers, 401), 50);
    let checked: f64 = nodes.iter().map(|node| node.metric("logins_total{result=\"failed\"}")).sum();
    assert_eq!(checked, 20.0);
    login_from(&first, "192.0.2.1", &ann.email, PASSWORD).expect(401, "invalid");
}

#[test]
fn locks_survive_a_restart_and_are_shared_by_nodes() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for _ in 0..10 {
        app.login(&ann.email, WRONG).expect(401, "invalid");
    }
    let database = app.database.clone();
    let other = TestApp::on(&database, |_| {});
    other.login(&ann.email, PASSWORD).expect(401, "invalid");
    app.stop();
    TestApp::on(&database, |_| {}).login(&ann.email, PASSWORD).expect(401, "invalid");
}

#[test]
fn locked_disabled_unknown_and_wrong_are_answered_exactly_alike() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann"), app.signed_up("bob"));
    root.patch(&format!("/api/admin/users/{}", bob.id), json!({ "disabled": true })).expect(200, "updated");
    let wrong = app.login(&ann.email, WRONG);
    for _ in 0..9 {
        app.login(&ann.email, WRONG);
    }
    let answers = [
        ("locked", app.login(&ann.email, PASSWORD)),
        ("locked, and wrong", app.login(&ann.email, WRONG)),
        ("disabled", app.login(&bob.email, PASSWORD)),
        ("disabled, and wrong", app.login(&bob.email, WRONG)),
        ("unknown", app.login("nobody@example.org", PASSWORD)),
        ("no address at all", app.login("nobody", PASSWORD)),
        ("longer than bcrypt reads", app.login("root@example.org", &"x".repeat(73))),
    ];
    for (what, answer) in answers {
        assert_eq!(appearance(&answer), appearance(&wrong), "{what}");
    }
    assert_eq!(wrong.json()["data"], Value::Null);
}

/// A server that dies while it looks at a password has counted the attempt, but not locked.
#[test]
fn a_count_that_is_full_without_a_lock_holds_as_long_as_one() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    app.login(&ann.email, WRONG).expect(401, "invalid");
    let mut sql = app.sql();
    sql.execute("update login_failures set failures = 10 where network <> '*'", &[]).expect("a full count");
    let mut age = |seconds: f64| {
        let statement =
            "update login_failures set last_failed_at = now() - make_interval(secs => $1), locked_until = null";
        sql.execute(statement, &[&seconds]).expect("an older count");
    };
    age(890.0);
    let started = Instant::now();
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "no login waits for the attempts of a node that has died: {:?}",
        started.elapsed()
    );
    age(901.0);
    app.login(&ann.email, PASSWORD).expect(200, "success");
}

#[test]
fn the_lock_of_an_unknown_address_is_counted_like_any_other() {
    let app = TestApp::start();
    for _ in 0..12 {
        app.login("nobody@example.org", WRONG).expect(401, "invalid");
    }
    assert_eq!(failures(&app), [("*".to_string(), 10, false), ("127.0.0.1".to_string(), 10, true)]);
    // The typed text is not kept: it may be a password in the wrong field.
    let query = "select count(*) from login_failures f where to_jsonb(f)::text like '%nobody%'";
    assert_eq!(app.sql().query_one(query, &[]).expect("a count").get::<_, i64>(0), 0);
}

/// Safe against a busy machine: the fastest of many tries of each kind are compared, and of more if the machine was too busy for ten.
/// A kind that did other work than the rest, a hash of the next cost for example, would never come this close.
#[test]
fn wrong_unknown_locked_disabled_and_any_cost_of_the_hash_take_the_same_time() {
    let limits = |config: &mut Config| {
        config.bcrypt_cost = 7;
        config.login_max_failures = 1_000_000;
        config.login_max_failures_total = 1_000_000;
    };
    let app = TestApp::with(limits);
    let (root, known, locked, disabled) =
        (app.admin("root"), app.signed_up("known"), app.signed_up("locked"), app.signed_up("disabled"));
    root.patch(&format!("/api/admin/users/{}", disabled.id), json!({ "disabled": true })).expect(200, "updated");
    app.login(&locked.email, WRONG).expect(401, "invalid");
    // Registered when hashes were cheaper, and at a node where they are more expensive.
    let at_cost =
        |cost: u32, name: &str| TestApp::on(&app.database, |config| config.bcrypt_cost = cost).signed_up(name);
    let (cheapest, cheaper, locked_cheaper) = (at_cost(4, "cheapest"), at_cost(6, "cheaper"), at_cost(6, "guessed"));
    app.login(&locked_cheaper.email, WRONG).expect(401, "invalid");
    app.sql().execute("update login_failures set locked_until = now() + interval '1 hour'", &[]).expect("locks");
    app.login(&locked.email, PASSWORD).expect(401, "invalid");

    let mut kinds = vec![
        (&*known.email, WRONG),
        ("nobody@example.org", WRONG),
        (&known.email, "longer than bcrypt reads, seventy-two bytes, and therefore nobody's password"),
        (&locked.email, WRONG),
        (&disabled.email, WRONG),
        (&disabled.email, PASSWORD),
        (&cheapest.email, WRONG),
        (&cheaper.email, WRONG),
        (&locked_cheaper.email, PASSWORD),
    ];
    take_the_same_time(&app, &kinds);
    // Then every login takes the time of the most expensive hash.
    let expensive = at_cost(8, "expensive");
    kinds.push((&expensive.email, WRONG));
    take_the_same_time(&app, &kinds);
}

/// Refused logins with these e-mails and passwords take times that differ by a fifth at most.
fn take_the_same_time(app: &TestApp, kinds: &[(&str, &str)]) {
    let mut fastest = vec![Duration::MAX; kinds.len()];
    for round in 1.. {
        for ((email, password), fastest) in kinds.iter().zip(&mut fastest) {
            let start = Instant::now();
            app.login(email, password).expect(401, "invalid");
            *fastest = start.elapsed().min(*fastest);
        }
        let (least, most) = (fastest.iter().min().expect("a time"), fastest.iter().max().expect("a time"));
        if round >= 10 && *most < *least * 6 / 5 {
            return;
        }
        assert!(round < 200, "{kinds:?}: {fastest:?}");
    }
}
