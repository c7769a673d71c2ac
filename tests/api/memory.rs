//! What the process holds during floods, and what it keeps afterwards.

use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::harness::binary::{Program, Serving};
use crate::harness::folder::Folder;
use crate::harness::http::connect;
use crate::harness::{PASSWORD, Person, TestApp, at_once, eventually};
use crate::long_answers::{add_patients, ask_and_leave, lists_answered, served};

/// What a process may keep of a flood. Measured: 3 MiB at most, 61 MiB without `src/allocator.rs`.
const KEPT_MIB: f64 = 8.0;
/// Half of MAX_MEMORY_BYTES for bodies that arrive, and what is not counted: bodies up to 64 KiB that are being refused.
const BODIES_MIB: f64 = 32.0 + 8.0;
/// A connection to the database may have been lost, and another one opened.
const KEPT_DESCRIPTORS: usize = 8;
const WORKERS: usize = 2;
const POOL: usize = 8;

/// Uses a server in all ways at once, until all its connections to the database are open.
fn warm_up(server: &Serving, users: &[Person]) {
    at_once(16, |number| served(&users[number % users.len()], "/api/patients?limit=500"));
    eventually("all connections are open", || {
        at_once(16, |number| {
            let user = &users[number % users.len()];
            let page = user.get("/api/patients?limit=1").expect(200, "success");
            user.patch(&format!("/api/patients/{}", page.ids()[0]), json!({ "phone": null })).expect(200, "updated");
            user.logged_in(&user.email, PASSWORD);
        });
        server.metric("database_pool_connections{state=\"idle\"}") >= POOL as f64
            && server.metric("database_pipe_connections") >= WORKERS as f64
    });
}

/// Begins a request whose body has the greatest length and does not end.
fn begin_long_body(server: &Serving) -> TcpStream {
    let mut stream = connect(server.address);
    let head =
        "POST /api/patients HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 262144\r\n\r\n";
    // It may be refused meanwhile.
    let _ = stream.write_all(&[head.as_bytes(), &[b' '; 262_143]].concat());
    stream
}

fn pipeline(user: &Person) -> TcpStream {
    let token = user.token.as_deref().expect("a token");
    let one =
        format!("GET /api/patients?limit=5&fields=id HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = connect(user.address);
    stream.write_all(one.repeat(50).as_bytes()).expect("requests");
    stream
}

#[test]
fn after_floods_the_process_has_the_memory_and_the_descriptors_that_it_had_when_it_was_warm() {
    let (app, folder) = (TestApp::start(), Folder::new());
    let users = ["ann", "bob", "cleo", "dan"].map(|name| app.signed_up(name));
    users.iter().for_each(|user| add_patients(&app, user, 300, "repeat('x', 19000)"));
    let program = Program::on(&app.database, &folder, &["serve"]).set("AUTH_RATE_PER_MINUTE", "0");
    let server = program.set("WORKERS", &WORKERS.to_string()).set("DATABASE_POOL", &POOL.to_string()).serve();
    let users = users.map(|user| server.client(&user));
    warm_up(&server, &users);
    let (memory, descriptors) = (server.memory("VmRSS"), server.descriptors());

    for _ in 0..4 {
        drop((0..250).map(|_| connect(server.address)).collect::<Vec<_>>());
    }
    drop((0..100).map(|number| pipeline(&users[number % 4])).collect::<Vec<_>>());
    let before = lists_answered(&server, 200) + lists_answered(&server, 503);
    let deaf: Vec<_> = (0..80).map(|number| ask_and_leave(&users[number % 4], "/api/patients?limit=500", 1)).collect();
    eventually("all have their answer or a 503", || {
        lists_answered(&server, 200) + lists_answered(&server, 503) >= before + 80.0
    });
    drop(deaf);
    at_once(16, |number| served(&users[number % 4], "/api/patients?limit=500"));
    let long = json!({ "medical_history": "y".repeat(260_000) });
    at_once(100, |number| (0..8).for_each(|_| drop(users[number % 4].post("/api/patients", long.clone()))));
    drop((0..250).map(|_| begin_long_body(&server)).collect::<Vec<_>>());
    let wrong = json!({ "email": "nobody@example.org", "password": "a wrong one" });
    at_once(32, |_| (0..5).for_each(|_| drop(server.anyone().post("/api/auth/login", wrong.clone()))));

    let (mut most, mut open) = (0.0, 0);
    eventually("memory and descriptors are as before the flood", || {
        (most, open) = (server.memory("VmRSS"), server.descriptors());
        most < memory + KEPT_MIB && open <= descriptors + KEPT_DESCRIPTORS
    });
}

#[test]
fn bodies_that_do_not_end_hold_bounded_memory_and_others_are_served() {
    let (app, folder) = (TestApp::start(), Folder::new());
    let ann = app.signed_up("ann");
    add_patients(&app, &ann, 100, "repeat('x', 19000)");
    let server = Program::on(&app.database, &folder, &["serve"]).serve();
    let ann = server.client(&ann);
    at_once(16, |_| ann.get("/api/patients?limit=1").expect(200, "success"));
    let warm = server.memory("VmRSS");

    let held: Vec<TcpStream> = (0..250).map(|_| begin_long_body(&server)).collect();
    let refused = "http_requests_refused_total{cause=\"body_room\"}";
    eventually("those beyond the bound are refused", || server.metric(refused) >= 250.0 - 128.0);
    ann.new_patient("Zoe");
    let most = server.memory("VmHWM");
    assert!(most < warm + BODIES_MIB, "{most} MiB after {warm} MiB");
    served(&ann, "/api/patients?limit=500");
    drop(held);
    let long = json!({ "name": "x", "address": "y".repeat(100_000) });
    eventually("there is room again", || ann.post("/api/patients", long.clone()).status == 400);
}
