//! Creates of different requests that share a statement and its commit: each has its own answer, and what is wrong with one is no
//! other's loss.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::cluster::OwnCluster;
use crate::harness::{TestApp, at_once, eventually};

const WAITING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

fn a_patient(name: &str) -> serde_json::Value {
    json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" })
}

/// Keeps the table locked until so many creates have gathered behind the two statements that wait for it, and then lets go.
fn gathered(app: &TestApp, creates: usize, create: impl Fn(usize) + Sync) {
    let (mut holder, mut watcher) = (app.sql(), app.sql());
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute("lock table patients in exclusive mode").expect("a lock");
    thread::scope(|scope| {
        for number in 0..creates {
            let create = &create;
            scope.spawn(move || create(number));
        }
        eventually("two statements wait for the table", || {
            watcher.query_one(WAITING, &[]).expect("a count").get::<_, i64>(0) == 2
        });
        eventually("the other creates wait for these two", || app.metric("http_requests_in_flight") >= creates as f64);
        held.rollback().expect("no lock");
    });
}

/// How many transactions the patients were made in.
fn transactions(app: &TestApp) -> i64 {
    app.sql().query_one("select count(distinct xmin::text) from patients", &[]).expect("a count").get(0)
}

#[test]
fn creates_that_wait_together_share_a_commit_and_each_has_its_own_answer_and_entry() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let users: Vec<_> = (0..12).map(|number| app.signed_up(&format!("user-{number}"))).collect();
    gathered(&app, 12, |number| {
        let user = &users[number];
        let created = user.post("/api/patients", a_patient(&format!("Of {number}"))).expect(201, "created").data();
        assert_eq!(created["name"], format!("Of {number}"));
        assert_eq!(created["created_by"].as_i64(), Some(user.id));
        let found = user.get(&format!("/api/patients/{}", created["id"])).expect(200, "success").data();
        assert_eq!(found, created);
    });
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
    gathered(&app, 12, |number| {
        let user = &users[number];
        if number == 5 {
            user.post("/api/patients", a_patient("Trouble")).expect(500, "failed");
        } else {
            let created = user.post("/api/patients", a_patient(&format!("Of {number}"))).expect(201, "created").data();
            assert_eq!(created["created_by"].as_i64(), Some(user.id));
        }
    });
    assert_eq!(app.audited("create").len(), 11);
}

#[test]
fn a_user_who_is_disabled_while_a_batch_waits_creates_nothing_and_the_others_do() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let users: Vec<_> = (0..8).map(|number| app.signed_up(&format!("user-{number}"))).collect();
    let disabled = &users[3];
    let (mut holder, mut watcher) = (app.sql(), app.sql());
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute("lock table patients in exclusive mode").expect("a lock");
    held.execute("update users set disabled = true where id = $1", &[&disabled.id]).expect("disabled");
    thread::scope(|scope| {
        for user in &users {
            scope.spawn(move || match user.id == disabled.id {
                true => drop(user.post("/api/patients", a_patient("None")).expect(401, "forbidden")),
                false => drop(user.post("/api/patients", a_patient("One")).expect(201, "created")),
            });
        }
        eventually("two statements wait for the table", || {
            watcher.query_one(WAITING, &[]).expect("a count").get::<_, i64>(0) == 2
        });
        eventually("the other creates wait for these two", || app.metric("http_requests_in_flight") >= 8.0);
        held.commit().expect("committed");
    });
    assert_eq!(app.audited("create").len(), 7);
}

#[test]
fn creates_whose_database_goes_away_are_answered_and_the_next_ones_are_made() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let ann = app.signed_up("ann");
    let (mut holder, mut killer) = (app.sql(), app.sql());
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute("lock table patients in exclusive mode").expect("a lock");
    let made = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..10).map(|_| scope.spawn(|| ann.post("/api/patients", a_patient("P")).status)).collect();
        eventually("two statements wait for the table", || {
            killer.query_one(WAITING, &[]).expect("a count").get::<_, i64>(0) == 2
        });
        eventually("the other creates wait for these two", || app.metric("http_requests_in_flight") >= 10.0);
        let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        killer.execute(kill, &[]).expect("ended");
        held.rollback().expect("no lock");
        let statuses: Vec<u16> = threads.into_iter().map(|thread| thread.join().expect("an answer")).collect();
        assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
        assert!(statuses.contains(&503), "{statuses:?}");
        statuses.iter().filter(|status| **status == 201).count()
    });
    at_once(10, |_| ann.post("/api/patients", a_patient("P")).expect(201, "created"));
    assert_eq!(app.audited("create").len(), made + 10);
}

#[test]
fn creates_that_hang_hold_up_those_of_others_for_a_moment_only() {
    let app = TestApp::with(|config| config.database_pool = 16);
    let (ann, ben) = (app.signed_up("ann"), app.signed_up("ben"));
    let (mut holder, mut watcher) = (app.sql(), app.sql());
    let mut held = holder.transaction().expect("a transaction");
    // A new patient locks the row of its owner, so that nobody removes it meanwhile.
    held.execute("select from users where id = $1 for update", &[&ann.id]).expect("a lock");
    let mut waiting = |count: i64| {
        eventually("the create hangs", || watcher.query_one(WAITING, &[]).expect("a count").get::<_, i64>(0) == count);
    };
    thread::scope(|scope| {
        for hanging in 1..=2 {
            scope.spawn(|| ann.post("/api/patients", a_patient("Late")).expect(201, "created"));
            waiting(hanging);
        }
        // Both turns are taken. A statement may hang for 5 s; this answer must not wait for that.
        ben.post("/api/patients", a_patient("In time")).expect(201, "created");
        waiting(2);
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
        let create = || (0..3).for_each(|_| drop(ann.post("/api/patients", a_patient("P")).expect(201, "created")));
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
