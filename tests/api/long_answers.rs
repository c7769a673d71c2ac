//! Long answers: a page ends early where its records are long.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::harness::binary::{Program, Serving};
use crate::harness::folder::Folder;
use crate::harness::http::Answer;
use crate::harness::{Person, TestApp, at_once, eventually, http};

/// How many bytes a page ends at.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Gives a user patients whose histories are this SQL expression.
pub fn add_patients(app: &TestApp, owner: &Person, number: i32, history: &str) {
    let insert = format!(
        "insert into patients (name, date_of_birth, gender, medical_history, created_by)
         select 'P' || n, '1990-04-23', 'female', {history}, $2 from generate_series(1, $1) as n"
    );
    app.sql().execute(&insert, &[&number, &owner.id]).expect("patients");
}

/// Asks until there is room for the answer: a client that is told 503 asks again.
pub fn served(person: &Person, target: &str) -> Answer {
    served_as(person, target, &[]).expect(200, "success")
}

fn served_as(person: &Person, target: &str, headers: &[(&str, &str)]) -> Answer {
    loop {
        let answer = person.send("GET", target, headers, None);
        if answer.status != 503 {
            return answer;
        }
    }
}

/// Walks all pages of a list and returns how many records each has, after a look at their sizes and ids.
fn walk(person: &Person, start: &str) -> Vec<usize> {
    let (mut pages, mut seen, mut target) = (Vec::new(), BTreeSet::new(), Some(start.to_string()));
    while let Some(here) = target {
        let page = served(person, &here);
        assert!(page.body.len() <= PAGE_BYTES, "{here}: {} bytes", page.body.len());
        let ids = page.ids();
        pages.push(ids.len());
        assert!(ids.into_iter().all(|id| seen.insert(id)), "{here} shows a record again");
        target = page.next();
    }
    pages
}

/// Writes for every patient what an update writes that keeps all of the record.
fn update_all(app: &TestApp) {
    let entries = "with kept as (
                       insert into record_versions (resource, record_id, version, owner_id, ended_by, record)
                       select 'patient', id, 1, created_by, 'update', to_jsonb(patients) from patients)
                   insert into audit_entries (actor_id, action, resource, resource_id, version)
                   select created_by, 'update', 'patient', id, 2 from patients";
    app.sql().execute(entries, &[]).expect("entries");
}

#[test]
fn a_page_of_long_records_ends_at_4_mib_and_the_next_one_goes_on_there() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    // 80 KB each, the longest that there are: 52 fit on a page.
    add_patients(&app, &ann, 130, "repeat('😀', 20000)");
    for list in ["?limit=500", "?limit=100", "?limit=500&sort=name", "?limit=100&sort=-created_at", "?fields=id"] {
        assert_eq!(walk(&ann, &format!("/api/patients{list}")), [52, 52, 26], "{list}");
    }
    assert_eq!(walk(&root, "/api/admin/patients?limit=500"), [52, 52, 26]);
    assert_eq!(walk(&ann, "/api/patients?limit=40"), [40, 40, 40, 10], "a page that is short anyway");

    update_all(&app);
    let pages = walk(&root, "/api/admin/audit?limit=500&action=update");
    assert_eq!((pages.iter().sum::<usize>(), pages.len()), (130, 3));
}

#[test]
fn a_page_counts_its_json_where_that_is_longer_than_the_records() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    // 20 KB each, of which every byte is two in JSON.
    add_patients(&app, &ann, 150, r"'a' || repeat(E'\n', 19998) || 'b'");
    assert_eq!(walk(&ann, "/api/patients?limit=500"), [104, 46]);
}

#[test]
fn a_page_counts_its_csv_where_that_is_asked_for() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    // 20 KB each, of which every byte is two in CSV.
    add_patients(&app, &ann, 250, r#"repeat('"', 20000)"#);
    update_all(&app);
    // An entry's text is escaped once more, as JSON: 60 KB each.
    for (person, start, on_a_page) in
        [(&ann, "/api/patients?limit=500", 104), (&root, "/api/admin/audit?limit=500&action=update", 69)]
    {
        let (mut target, mut pages) = (Some(start.to_string()), Vec::new());
        while let Some(here) = target {
            let page = served_as(person, &here, &[("Accept", "text/csv")]);
            assert!(page.body.len() <= PAGE_BYTES, "{here}: {} bytes", page.body.len());
            pages.push(csv::Reader::from_reader(&*page.body).records().count());
            target = page.next();
        }
        assert_eq!(pages.iter().sum::<usize>(), 250, "{start}");
        assert_eq!(pages[0], on_a_page, "{start}");
    }
}

/// How much a server may have at most beyond what it has when it is warm: MAX_MEMORY_BYTES, and what is not counted (short answers,
/// the memory of the allocator, that of connections).
pub const MOST_MIB: f64 = 64.0 + 24.0;

/// A server in a process of its own that has been in use, and its memory then.
pub fn warm_server(app: &TestApp, folder: &Folder, user: &Person) -> (Serving, f64) {
    let server = Program::on(&app.database, folder, &["serve"]).serve();
    let user = server.client(user);
    at_once(4, |_| served(&user, "/api/patients?limit=500"));
    let warm = server.memory("VmRSS");
    (server, warm)
}

/// A connection that asks for a page this many times and does not read the answers.
pub fn ask_and_leave(person: &Person, target: &str, times: usize) -> TcpStream {
    let token = person.token.as_deref().expect("a token");
    let mut stream = http::connect(person.address);
    let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(text.repeat(times).as_bytes()).expect("a request");
    stream
}

/// How many lists of patients a server has answered so far, by status.
pub fn lists_answered(server: &Serving, status: u16) -> f64 {
    let page = server.anyone().get("/metrics");
    let text = String::from_utf8(page.body).expect("text");
    let sample = format!("http_requests_total{{method=\"GET\",route=\"/api/patients\",status=\"{status}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)).map_or(0.0, |value| value.parse().expect("a number"))
}

#[test]
fn pages_that_nobody_takes_hold_bounded_memory_and_others_are_served() {
    let (app, folder) = (TestApp::start(), Folder::new());
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    add_patients(&app, &ann, 500, "repeat('😀', 20000)");
    add_patients(&app, &bob, 60, "repeat('😀', 20000)");
    let (server, warm) = warm_server(&app, &folder, &bob);
    let (ann, bob) = (server.client(&ann), server.client(&bob));
    let before = lists_answered(&server, 200) + lists_answered(&server, 503);

    let deaf: Vec<TcpStream> = (0..80).map(|_| ask_and_leave(&ann, "/api/patients?limit=500", 1)).collect();
    // Meanwhile another user finds room, and changes do not wait.
    let path = format!("/api/patients/{}", served(&bob, "/api/patients?limit=500").ids()[0]);
    bob.patch(&path, json!({ "name": "Bob's" })).expect(200, "updated");
    served(&bob, "/api/patients?limit=20");
    eventually("all have their answer or a 503", || {
        lists_answered(&server, 200) + lists_answered(&server, 503) >= before + 82.0
    });
    let most = server.memory("VmHWM");
    assert!(most < warm + MOST_MIB, "{most} MiB after {warm} MiB");
    drop(deaf);
    served(&ann, "/api/patients?limit=500");
}

#[test]
fn many_clients_that_read_long_pages_are_all_served_in_bounded_memory() {
    let (app, folder) = (TestApp::start(), Folder::new());
    let users = ["ann", "bob", "cleo", "dan"].map(|name| app.signed_up(name));
    for user in &users {
        add_patients(&app, user, 500, "repeat('x', 19000)");
    }
    let (server, warm) = warm_server(&app, &folder, &users[0]);
    at_once(16, |number| {
        let user = server.client(&users[number % 4]);
        let first = served(&user, "/api/patients?limit=500");
        let second = served(&user, &first.next().expect("a next page"));
        assert!(first.body.len() > 4_000_000 && second.body.len() > 4_000_000);
    });
    let most = server.memory("VmHWM");
    assert!(most < warm + MOST_MIB, "{most} MiB after {warm} MiB");
}

#[test]
fn a_search_is_answered_while_others_hold_all_the_room_and_take_nothing() {
    let app = TestApp::with(|config| config.max_memory_bytes = 32 * 1024 * 1024);
    let (greedy, dan) = (["ann", "bob", "cleo"].map(|name| app.signed_up(name)), app.signed_up("dan"));
    for user in &greedy {
        add_patients(&app, user, 60, "repeat('😀', 20000)");
    }
    add_patients(&app, &dan, 3, "null");
    // What one connection asks for first may fit into the buffers of the system.
    let ask_often = |user: &Person| (0..8).map(|_| ask_and_leave(user, "/api/patients?limit=500", 5)).collect();
    let deaf: Vec<Vec<TcpStream>> = greedy.iter().map(ask_often).collect();
    let held = || {
        let page = String::from_utf8(app.anyone().get("/metrics").body).expect("text");
        let value = page.lines().find_map(|line| line.strip_prefix("memory_held_bytes ")).expect("a number");
        value.parse::<f64>().expect("a number")
    };
    eventually("they hold the room", || held() > 19.0 * 1024.0 * 1024.0);
    for target in ["/api/patients?name=p", "/api/patients?sort=name", "/api/patients?count=true&limit=1"] {
        assert_eq!(dan.get(target).expect(200, "success").ids().len().min(1), 1, "{target}");
    }
    drop(deaf);
    served(&greedy[0], "/api/patients?limit=500");
}
