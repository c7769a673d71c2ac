//! A server that is killed in the middle of its work leaves no change without its audit entry, and no entry without its change.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::binary::Program;
use crate::harness::folder::Folder;
use crate::harness::http::{self, Answer};
use crate::harness::{Person, TestApp, eventually};

/// Sends a request to a server that may be gone.
fn ask(server: SocketAddr, person: &Person, method: &str, target: &str, body: Option<Value>) -> Option<Answer> {
    let authorization = format!("Bearer {}", person.token.as_deref().expect("a token"));
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let headers = if body.is_some() { &headers[..] } else { &headers[..1] };
    http::try_send(server, method, target, headers, body.map(|body| body.to_string()).as_deref())
}

/// Creates, changes and deletes until the server is gone. Returns the patients that it was told are there, and those that it was
/// told are not.
fn work(server: SocketAddr, person: &Person, doctor: i64, done: &AtomicUsize) -> (Vec<i64>, Vec<i64>) {
    let (mut kept, mut deleted) = (Vec::new(), Vec::new());
    loop {
        let body = json!({ "name": "P", "date_of_birth": "1990-04-23", "gender": "other" });
        let Some(created) = ask(server, person, "POST", "/api/patients", Some(body)) else { break };
        let id = created.expect(201, "created").id();
        kept.push(id);
        done.fetch_add(1, Ordering::Relaxed);
        let path = format!("/api/patients/{id}");
        let pair = json!({ "patient_id": id, "doctor_id": doctor });
        let Some(mapped) = ask(server, person, "POST", "/api/mappings", Some(pair)) else { break };
        mapped.expect(201, "created");
        let Some(changed) = ask(server, person, "PATCH", &path, Some(json!({ "name": "Q" }))) else { break };
        changed.expect(200, "updated");
        if id % 2 == 0 {
            // From here on the record may be gone, whether the answer arrives or not.
            kept.pop();
            let Some(gone) = ask(server, person, "DELETE", &path, None) else { break };
            gone.expect(200, "deleted");
            deleted.push(id);
        }
    }
    (kept, deleted)
}

/// Rows that contradict each other, by what is wrong with them.
const CONTRADICTIONS: [(&str, &str); 7] = [
    ("a record without exactly one create entry", "
        select 1 from (select 'patient' as resource, id from patients union all select 'mapping', id from mappings) as made
         where 1 <> (select count(*) from audit_entries a where a.action = 'create' and a.resource = made.resource and resource_id = made.id)"),
    ("a create entry without its record or a delete entry", "
        select 1 from audit_entries a
         where action = 'create' and resource in ('patient', 'mapping')
           and not exists (select from patients where a.resource = 'patient' and id = a.resource_id)
           and not exists (select from mappings where a.resource = 'mapping' and id = a.resource_id)
           and not exists (select from audit_entries d where d.action = 'delete' and d.resource = a.resource and d.resource_id = a.resource_id)"),
    ("a delete entry of a record that is still there", "
        select 1 from audit_entries a
         where action = 'delete'
           and (exists (select from patients where a.resource = 'patient' and id = a.resource_id)
             or exists (select from mappings where a.resource = 'mapping' and id = a.resource_id))"),
    ("two entries of one create or delete", "
        select 1 from audit_entries where action in ('create', 'delete') group by action, resource, resource_id having count(*) > 1"),
    ("a patient with more changes than entries, or fewer", "
        select 1 from patients p
         where version - 1 <> (select count(*) from audit_entries where action = 'update' and resource = 'patient' and resource_id = p.id)"),
    ("a version without exactly one entry of the change that ended it, or an entry without its version", "
        select 1
          from (select resource, record_id, version + 1 as version, ended_by, actor_id, ended_at from record_versions) as kept
          full join (select resource, resource_id, version, action, actor_id, at from audit_entries where action in ('update', 'delete')) as entry
            on (kept.resource, kept.record_id, kept.version, ended_by, kept.actor_id, ended_at)
               = (entry.resource, entry.resource_id, entry.version, action, entry.actor_id, at)
         where kept.resource is null or entry.resource is null
         union all
        select 1 from audit_entries where version is not null group by resource, resource_id, version having count(*) > 1"),
    ("a patient without all its versions", "
        select 1 from patients p
         where version - 1 <> (select count(*) from record_versions v where resource = 'patient' and record_id = p.id and v.version < p.version)"),
];

/// Lets six threads work on a server of its own, and kills it when this much is done. Then the rows must not contradict each other.
fn killed_in<T: Send>(
    app: &TestApp,
    amount: usize,
    work: impl Fn(usize, SocketAddr, &AtomicUsize) -> T + Sync,
) -> Vec<T> {
    let folder = Folder::new();
    let server = Program::on(&app.database, &folder, &["serve"]).set("RUST_LOG", "off").serve();
    let (address, done) = (server.address, &AtomicUsize::new(0));
    let told = thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..6).map(|number| scope.spawn(move || work(number, address, done))).collect();
        eventually("work under way", || done.load(Ordering::Relaxed) >= amount);
        server.signal("KILL");
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut sql = app.sql();
    // PostgreSQL finishes or gives up by itself what it had begun.
    eventually("the killed server's statements are over", || {
        let query = "select count(*) from pg_stat_activity where datname = current_database() and state <> 'idle'
                        and pid <> pg_backend_pid()";
        sql.query_one(query, &[]).expect("a count").get::<_, i64>(0) == 0
    });
    for (what, query) in CONTRADICTIONS {
        assert!(sql.query(query, &[]).expect("rows").is_empty(), "after {amount}: {what}");
    }
    told
}

#[test]
fn a_server_that_is_killed_amid_a_thousand_updates_has_kept_a_version_for_each_entry() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    // Each two threads change the same patient.
    let patients: Vec<i64> = (0..3).map(|_| ann.new_patient("P")).collect();
    let told = killed_in(&app, 1_000, |number, server, done| {
        let (path, mut updates) = (format!("/api/patients/{}", patients[number / 2]), 0);
        loop {
            let body = json!({ "phone": format!("{number}-{}", 10_000 + updates) });
            let Some(changed) = ask(server, &ann, "PATCH", &path, Some(body)) else { break updates };
            changed.expect(200, "updated");
            updates += 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    });
    let kept: i64 = app.sql().query_one("select count(*) from record_versions", &[]).expect("a count").get(0);
    let acknowledged = told.iter().sum::<i64>();
    assert!((acknowledged..=acknowledged + 6).contains(&kept), "{acknowledged} were acknowledged, and {kept} are kept");
    for (number, patient) in patients.iter().enumerate() {
        let newest = ann.get(&format!("/api/patients/{patient}/history?limit=1")).expect(200, "success").data();
        let of_patient = told[2 * number] + told[2 * number + 1];
        assert!(
            newest[0]["version"].as_i64().is_some_and(|version| version > of_patient),
            "{newest} after {of_patient}"
        );
    }
}

#[test]
fn a_server_that_is_killed_leaves_no_change_without_its_entry_and_no_entry_without_its_change() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let doctor = ann.new_doctor("D");
    let mut sql = app.sql();
    for round in 1..=3 {
        let told = killed_in(&app, 20 * round, |_, server, done| work(server, &ann, doctor, done));
        let known: Vec<i64> =
            sql.query("select id from patients", &[]).expect("rows").iter().map(|row| row.get(0)).collect();
        for (kept, deleted) in told {
            assert!(kept.iter().all(|id| known.contains(id)), "every confirmed record is there");
            assert!(!deleted.iter().any(|id| known.contains(id)), "every confirmed deletion has happened");
        }
    }
}
