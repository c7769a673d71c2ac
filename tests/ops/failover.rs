//! Two PostgreSQLs, one following the other: the service follows when the standby is made the primary.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Folder};
use crate::harness::eventually;
use crate::node::Node;
use crate::writers::Writers;

/// How long a failover may take, from the fault to the first success.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// The longest that a client may wait for a refusal.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_primary_stopped_in_order_hands_over_without_a_loss() {
    // The stop itself sends everything to the standby, also where commits do not wait for it.
    fail_over("ordered", false, Cluster::stop);
}

#[test]
fn a_primary_that_is_killed_loses_no_acknowledged_write_if_commits_wait_for_the_standby() {
    fail_over("killed", true, Cluster::kill);
}

#[test]
fn a_primary_that_freezes_is_left_for_the_promoted_standby() {
    fail_over("frozen", true, Cluster::freeze);
}

fn fail_over(name: &str, synchronous: bool, fault: fn(&Cluster)) {
    let folder = Folder::new(name);
    let primary = Cluster::start(&folder, "a", &[]);
    let standby = primary.standby(&folder, "b");
    if synchronous {
        primary.sql("alter system set synchronous_standby_names = '*'");
        primary.sql("select pg_reload_conf()");
        eventually("synchronous replication", || {
            primary.ask("select count(*)::text from pg_stat_replication where sync_state = 'sync'") == "1"
        });
    }
    let app = Node::start(&[("DATABASE_URL", &either(&primary, &standby))]);
    let person = app.signed_up("ann");
    let writers = Writers::start(app.address, &person, 3);
    writers.until_written(50);

    let start = Instant::now();
    fault(&primary);
    standby.promote();
    writers.until_written(50);
    let tale = writers.stop();
    let back = tale.back_after(start);

    assert!(back < BACK_WITHIN, "{back:?}: {}", tale.summary());
    tale.expect_only_503(&[201], REFUSED_WITHIN);
    tale.compare(&mut standby.connect());
    // Reads, logins and the audit trail continue as well.
    person.get("/api/patients?limit=1").expect(200, "success");
    app.signed_up("bob");
    app.anyone().get("/readyz").expect(200, "success");
    // One line when it went and one when it was back, however many requests were refused in between.
    assert_eq!(app.lines_with("Z error ").len(), app.lines_with(" database: away: ").len(), "{:#?}", app.lines());
    assert!(app.lines_with(" database: away: ").len() <= 1, "{:#?}", app.lines());
}

#[test]
fn a_standby_alone_is_not_written_to_and_not_mistaken_for_a_primary() {
    let folder = Folder::new("standby");
    let primary = Cluster::start(&folder, "a", &[]);
    let standby = primary.standby(&folder, "b");
    let app = Node::start(&[("DATABASE_URL", &either(&primary, &standby))]);
    let person = app.signed_up("ann");
    primary.stop();
    eventually("a refusal", || app.anyone().get("/readyz").status == 503);
    assert_eq!(person.get("/api/patients").status, 503, "a standby may lag behind: it is not read from either");
    app.anyone().get("/healthz").expect(200, "success");
    standby.promote();
    eventually("service", || person.get("/api/patients").status == 200);
}

#[test]
fn a_former_primary_that_thaws_is_not_returned_to() {
    let folder = Folder::new("thawed");
    let primary = Cluster::start(&folder, "a", &[]);
    let mut standby = primary.standby(&folder, "b");
    let app = Node::start(&[("DATABASE_URL", &either(&primary, &standby))]);
    let person = app.signed_up("ann");
    let mut former = primary.connect();
    let mut sessions = || {
        let count = "select sessions from pg_stat_database where datname = current_database()";
        former.query_one(count, &[]).expect("a count").get::<_, i64>(0)
    };
    primary.freeze();
    standby.promote();
    eventually("service", || person.get("/api/patients").status == 200);
    person.new_patient("After the promotion");
    // It allows changes, and knows nothing of that patient. Nobody stops it, and the present primary is away for a while.
    primary.thaw();
    standby.stop();
    let before = sessions();
    eventually("attempts to connect", || sessions() > before + 3);
    for _ in 0..20 {
        assert_eq!(person.get("/api/patients").status, 503);
    }
    standby.start_again();
    eventually("service", || person.get("/api/patients").status == 200);
    assert_eq!(person.get("/api/patients").expect(200, "success").ids().len(), 1);
}

/// Both, in this order, and only the one that takes changes.
fn either(primary: &Cluster, standby: &Cluster) -> String {
    let (first, second) = (primary.socket(), standby.socket());
    format!("host={first},{second} port=5432 user=healthcare dbname=healthcare target_session_attrs=read-write")
}
