//! `serve` before there is a database: it waits for one that is not there yet, ends if waiting would be in vain, and tells
//! systemd when it serves.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::harness::binary::Program;
use crate::harness::cluster::OwnCluster;
use crate::harness::folder::Folder;
use crate::harness::{eventually, postgres};

#[test]
fn serve_waits_for_a_database_that_is_not_there_yet() {
    let (folder, mut cluster) = (Folder::new(), OwnCluster::start());
    cluster.stop();
    let server = Program::on(&cluster.database, &folder, &["serve"]).start();
    server.says("waiting for the database");
    // One that starts and recovers refuses connections in its own way.
    cluster.start_again();
    let server = server.listening();
    server.anyone().get("/readyz").expect(200, "success");
    assert_eq!(server.lines_with("the database answers, after").len(), 1);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn serve_waits_for_a_silent_database_and_names_it_every_ten_seconds_until_a_signal_ends_it() {
    let folder = Folder::new();
    // The kernel accepts connections, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://ann:secret-word@127.0.0.1:{port}/clinic");
    let server = Program::on(&url, &folder, &["serve"]).start();
    let waiting = || server.lines_with("waiting for the database");
    server.says("waiting for the database");
    let first = Instant::now();
    eventually("a second line", || waiting().len() == 2);
    assert!(first.elapsed() > Duration::from_secs(8), "{:?}", first.elapsed());
    assert!(waiting().iter().all(|line| line.contains(&port.to_string()) && !line.contains("secret-word")));

    let asked = Instant::now();
    let ended = server.stop();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "it has not listened: {ended:?}");
}

#[test]
fn a_problem_that_waiting_does_not_solve_ends_serve_at_once() {
    let (folder, cluster) = (Folder::new(), OwnCluster::start());
    let mut sql = postgres::connect(&cluster.database);
    sql.batch_execute("create role guest login; create role asked login password 'right'; revoke connect on database healthcare from public")
        .expect("roles");
    let rules: String = sql.query_one("select current_setting('hba_file')", &[]).expect("a path").get(0);
    let all = std::fs::read_to_string(&rules).expect("the rules");
    std::fs::write(&rules, format!("local all asked scram-sha-256\n{all}")).expect("the rules");
    sql.batch_execute("select pg_reload_conf()").expect("a reload");
    let as_role = |role: &str| cluster.database.replace("user=healthcare ", &format!("user={role} "));
    eventually("a password is asked for", || {
        ::postgres::Client::connect(&as_role("asked"), ::postgres::NoTls)
            .is_err_and(|error| error.as_db_error().is_none())
    });
    for (url, said) in [
        (format!("{} password=secret-word", as_role("asked")), "28P01"),
        (as_role("asked"), "password missing"),
        (as_role("nobody"), "28000"),
        (as_role("guest"), "42501"),
        (cluster.database.replace("dbname=healthcare", "dbname=elsewhere"), "3D000"),
    ] {
        let ended = Program::on(&url, &folder, &["serve"]).set("RUST_LOG", "error").run("");
        let problem = ended.problem(1);
        assert!(problem.contains(said) && !problem.contains("secret-word"), "{problem}");
    }
}

#[test]
fn systemd_is_told_when_the_service_serves_and_when_it_stops() {
    let (folder, database) = (Folder::new(), postgres::new_database());
    let path = folder.path().join("notify").display().to_string();
    let name = format!("healthcare-tests-{}", std::process::id());
    let unnamed = SocketAddr::from_abstract_name(&name).expect("an address");
    for (variable, socket) in [
        (path.clone(), UnixDatagram::bind(&path).expect("a socket")),
        (format!("@{name}"), UnixDatagram::bind_addr(&unnamed).expect("a socket")),
    ] {
        let mut said = [0; 64];
        let mut hear = || {
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            let length = socket.recv(&mut said).expect("a state");
            String::from_utf8_lossy(&said[..length]).into_owned()
        };
        let server = Program::on(&database, &folder, &["serve"]).set("NOTIFY_SOCKET", &variable).start();
        assert_eq!(hear(), "READY=1");
        let server = server.listening();
        server.anyone().get("/readyz").expect(200, "success");
        assert!(server.lines_with(" warn ").is_empty(), "nobody had to wait");
        assert_eq!(server.stop().code, Some(0));
        assert_eq!(hear(), "STOPPING=1");
    }
    // One that is gone is a warning, and no reason not to serve.
    let server = Program::on(&database, &folder, &[]).set("NOTIFY_SOCKET", "/nowhere").serve();
    server.anyone().get("/readyz").expect(200, "success");
    assert!(server.stop().stderr.contains("systemd cannot be told READY=1"));
}
