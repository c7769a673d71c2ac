//! Logins of one account at the same moment, at several nodes: right ones all succeed, and of wrong ones no more
//! are checked than the limit says.

use std::thread;
use std::time::{Duration, Instant};

use healthcare_backend::{Config, Network};

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, TestApp, at_once, count};

/// Four nodes on one database, each of which has one thread or more that looks at passwords.
fn four_nodes(change: impl Fn(&mut Config)) -> Vec<TestApp> {
    let first = TestApp::with(&change);
    let others: Vec<TestApp> = (0..3).map(|_| TestApp::on(&first.database, &change)).collect();
    std::iter::once(first).chain(others).collect()
}

fn total(nodes: &[TestApp], result: &str) -> f64 {
    nodes.iter().map(|node| node.metric(&format!("logins_total{{result=\"{result}\"}}"))).sum()
}

/// Right logins in many rounds, one at each node at once: all succeed, and nothing is left of their counts.
fn all_succeed(nodes: &[TestApp], login: impl Fn(usize, &str) -> Answer + Sync) {
    let ann = nodes[0].signed_up("ann");
    for round in 0..25 {
        let answers = at_once(nodes.len(), |number| login(number, &ann.email));
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 4], "round {round}");
    }
    let counted = "select count(*) from login_failures where network = '*'";
    assert_eq!(nodes[0].sql().query_one(counted, &[]).expect("a count").get::<_, i64>(0), 0);
    for action in ["login_failed", "lock"] {
        assert!(nodes[0].audited(action).is_empty(), "{action}");
    }
}

#[test]
fn right_logins_at_once_all_succeed() {
    for limit in [1, 2, 3, 10] {
        let nodes = four_nodes(|config| config.login_max_failures = limit);
        all_succeed(&nodes, |number, email| nodes[number].login(email, PASSWORD));
    }
}

#[test]
fn right_logins_at_once_from_many_addresses_all_succeed() {
    let nodes = four_nodes(|config| {
        config.trusted_proxies = vec![Network::parse("127.0.0.0/8").expect("a network")];
        (config.login_max_failures, config.login_max_failures_total) = (1, 1);
    });
    all_succeed(&nodes, |number, email| {
        nodes[number].login_from(email, PASSWORD, &[("X-Forwarded-For", &format!("198.51.100.{number}"))])
    });
}

#[test]
fn of_wrong_logins_at_once_at_several_nodes_exactly_the_limit_is_checked() {
    for limit in [1, 2] {
        let nodes = four_nodes(|config| config.login_max_failures = limit);
        let rounds = 10;
        for round in 0..rounds {
            let ann = nodes[0].signed_up(&format!("ann-{round}"));
            let answers = at_once(8, |number| nodes[number % 4].login(&ann.email, "not the password"));
            assert_eq!(count(&answers, 401), 8);
            nodes[0].login(&ann.email, PASSWORD).expect(401, "invalid");
        }
        let checked = f64::from(rounds * limit);
        assert_eq!((total(&nodes, "failed"), total(&nodes, "locked")), (checked, f64::from(rounds * 9) - checked));
        assert_eq!(nodes[0].audited("lock").len(), usize::try_from(rounds).expect("a number"));
    }
}

/// A login that hangs keeps its place. Another login that finds no place left waits for it, but not for ever.
#[test]
fn the_wait_for_a_login_that_is_being_checked_is_bounded() {
    let nodes = four_nodes(|config| config.login_max_failures = 1);
    let ann = nodes[0].signed_up("ann");
    let mut holder = nodes[0].sql();
    let mut held = holder.transaction().expect("a transaction");
    held.execute("select from users where id = $1 for update", &[&ann.id]).expect("a lock");
    thread::scope(|scope| {
        let first = scope.spawn(|| nodes[0].login(&ann.email, PASSWORD));
        nodes[0].wait_until_blocked(1);
        let started = Instant::now();
        nodes[1].login(&ann.email, PASSWORD).expect(401, "invalid");
        let waited = started.elapsed();
        assert!(waited > Duration::from_millis(1500) && waited < Duration::from_secs(4), "{waited:?}");
        held.commit().expect("the lock is released");
        first.join().expect("an answer").expect(200, "success");
    });
    nodes[1].login(&ann.email, PASSWORD).expect(200, "success");
}
