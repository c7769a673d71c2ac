//! Creates of different requests that share a statement and its commit: each has its own answer, and what is wrong with one is no
//! other's loss.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Transaction;
use serde_json::json;

use crate::harness::cluster::OwnCluster;
use crate::harness::{TestApp, at_once, eventually};

fn a_patient(name: &str) -> serde_json::Value {
    json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" })
}

/// Locks the table, lets two creates wait for it, one after the other, and the rest gather behind them. Then releases the table.
fn gather(app: &TestApp, creates: usize, create: impl Fn(usize) + Sync, release: impl FnOnce(Transaction)) {
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute("lock table patients in exclusive mode").expect("a lock");
    thread::scope(|scope| {
        let create = &create;
        for number in 0..creates {
            scope.spawn(move || create(number));
            if number < 2 {
                app.wait_until_blocked(number as i64 + 1);
            }
        }
        eventually("the others gather behind these two", || under_way(app) >= creates as f64);
        release(held);
    });
}

fn let_go(held: Transaction) {
    held.rollback().expect("no lock");
}

/// How many requests are being handled or wait for a thread.
fn under_way(app: &TestApp) -> f64 {
    app.metric("http_requests_in_flight") + app.metric("waiting_queue_length")
}

/// How many transactions the patients were made in.
fn transactions(app: &TestApp) -> i64 {
    app.sql().query_one("select count(distinct xmin::text) from patients", &[]).expect("a count").get(0)
}

#[test]
fn creates_that_wait_together_share_a_commit_and_each_has_its_own_answer_and_entry() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let users: Vec<_> = (0..12).map(|number| app.signed_up(&format!("user-{number}"))).collect();
    let create = |number: usize| {
        let user = &users[number];
        let created = user.post("/api/patients", a_patient(&format!("Of {number}"))).expect(201, "created").data();
        assert_eq!(created["name"], format!("Of {number}"));
        assert_eq!(created["created_by"].as_i64(), Some(user.id));
        let found = user.get(&format!("/api/patients/{}", created["id"])).expect(200, "success").data();
        assert_eq!(found, created);
    };
    gather(&app, 12, create, let_go);
    assert_eq!(app.audited("create").len(), 12);
    assert!(transactions(&app) < 12, "{} transactions", transactions(&app));
    let apart = "select count(*) from patients p
                  where not exists (select from audit_entries a
                                     where a.resource_id = p.id and a.actor_id = p.created_by and a.action = 'create')";
    assert_eq!(app.sql().query_one(apart, &[]).expect("a count").get::<_, i64>(0), 0);
}

#[test]
fn a_create_that_is_refused_spoils_no_other_of_its_batch() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let users: Vec<_> = (0..12).map(|number| app.signed_up(&format!("user-{number}"))).collect();
    // A table constraint that the rules do not know of, so that PostgreSQL refuses one of the records.
    app.sql()
        .batch_execute("alter table patients add constraint no_trouble check (name <> 'Trouble')")
        .expect("a constraint");
    let create = |number: usize| {
        let user = &users[number];
        if number == 5 {
            user.post("/api/patients", a_patient("Trouble")).expect(500, "failed");
        } else {
            let created = user.post("/api/patients", a_patient(&format!("Of {number}"))).expect(201, "created").data();
            assert_eq!(created["created_by"].as_i64(), Some(user.id));
        }
    };
    gather(&app, 12, create, let_go);
    assert_eq!(app.audited("create").len(), 11);
}

#[test]
fn a_user_who_is_disabled_while_a_batch_waits_creates_nothing_and_the_others_do() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let users: Vec<_> = (0..8).map(|number| app.signed_up(&format!("user-{number}"))).collect();
    let disabled = &users[3];
    let create = |number: usize| {
        let user = &users[number];
        match user.id == disabled.id {
            true => drop(user.post("/api/patients", a_patient("None")).expect(401, "forbidden")),
            false => drop(user.post("/api/patients", a_patient("One")).expect(201, "created")),
        }
    };
    gather(&app, 8, create, |mut held| {
        held.execute("update users set disabled = true where id = $1", &[&disabled.id]).expect("disabled");
        held.commit().expect("committed");
    });
    assert_eq!(app.audited("create").len(), 7);
}

#[test]
fn creates_whose_database_goes_away_are_answered_and_the_next_ones_are_made() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let ann = app.signed_up("ann");
    let statuses = Mutex::new(Vec::new());
    let create = |_| {
        let status = ann.post("/api/patients", a_patient("P")).status;
        statuses.lock().expect("no panic").push(status);
    };
    gather(&app, 10, create, |held| {
        let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        app.sql().execute(kill, &[]).expect("ended");
        let_go(held);
    });
    let statuses = statuses.into_inner().expect("no panic");
    assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
    let made = statuses.iter().filter(|status| **status == 201).count();
    at_once(10, |_| ann.post("/api/patients", a_patient("P")).expect(201, "created"));
    assert_eq!(app.audited("create").len(), made + 10);
}

#[test]
fn creates_that_hang_hold_up_those_of_others_for_a_moment_only() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let (ann, ben) = (app.signed_up("ann"), app.signed_up("ben"));
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    // A new patient locks the row of its owner, so that nobody removes it meanwhile.
    held.execute("select from users where id = $1 for update", &[&ann.id]).expect("a lock");
    thread::scope(|scope| {
        for hanging in 1..=2 {
            scope.spawn(|| ann.post("/api/patients", a_patient("Late")).expect(201, "created"));
            app.wait_until_blocked(hanging);
        }
        // Both turns are taken. A statement may wait 4 s for a lock; this answer must not wait for that.
        ben.post("/api/patients", a_patient("In time")).expect(201, "created");
        app.wait_until_blocked(2);
        held.rollback().expect("no lock");
    });
    assert_eq!(app.audited("create").len(), 3);
}

#[test]
fn a_slow_disk_slows_down_changes_and_no_reads() {
    const COMMIT: Duration = Duration::from_millis(100);
    let cluster = OwnCluster::on_a_slow_disk(COMMIT);
    let app = TestApp::on(&cluster.database, |config| config.database_pool = 16);
    let ann = app.signed_up("ann");
    let patient = format!("/api/patients/{}", ann.new_patient("Read"));
    thread::scope(|scope| {
        let create = || (0..6).for_each(|_| drop(ann.post("/api/patients", a_patient("P")).expect(201, "created")));
        let writers: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        let (begun, mut reads) = (Instant::now(), 0);
        while writers.iter().any(|writer| !writer.is_finished()) {
            ann.get(&patient).expect(200, "success");
            reads += 1;
        }
        let commits = begun.elapsed().as_millis() / COMMIT.as_millis();
        assert!(commits >= 5, "the disk was not slow: {commits}");
        // A read that waits for a commit would come once in its time.
        assert!(reads > 3 * commits, "{reads} reads in the time of {commits} commits");
    });
}
