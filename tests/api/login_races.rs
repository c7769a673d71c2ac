//! Logins of one account at the same moment, at several nodes: right ones all succeed.

use healthcare_backend::Config;

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, TestApp, at_once};

/// Four nodes on one database, each of which has one thread or more that looks at passwords.
fn four_nodes(change: impl Fn(&mut Config)) -> Vec<TestApp> {
    let first = TestApp::with(&change);
    let others: Vec<TestApp> = (0..3).map(|_| TestApp::on(&first.database, &change)).collect();
    std::iter::once(first).chain(others).collect()
}

/// Right logins in many rounds, one at each node at once: all succeed, and nothing is left of their counts.
fn all_succeed(nodes: &[TestApp], login: impl Fn(usize, &str) -> Answer + Sync) {
    let ann = nodes[0].signed_up("ann");
    for round in 0..50 {
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
    let nodes = four_nodes(|_| {});
    all_succeed(&nodes, |number, email| nodes[number].login(email, PASSWORD));
}
