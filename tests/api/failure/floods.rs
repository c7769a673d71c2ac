//! Floods of wrong logins: from one address, from ten, and from all networks of one subscriber. A right login from elsewhere soon has
//! its turn, and requests beyond the rate limit take no place in the queue.

use std::thread;

use healthcare_backend::internals::hashing_threads;
use healthcare_backend::{Config, Network};

use super::number;
use crate::harness::{PASSWORD, TestApp, at_once, count, eventually};

const CONNECTIONS: usize = 60;

/// Behind a proxy on this machine, so that a test can come from any address.
fn behind_a_proxy(config: &mut Config) {
    config.trusted_proxies = vec![Network::parse("127.0.0.1").expect("a network")];
    config.bcrypt_cost = 8;
}

/// Sixty connections for each hashing thread send wrong logins, from addresses that have this many turns. Those that find a place in
/// the queue send on and keep it full. Meanwhile three people log in, each from an address of their own. They wait for one login of
/// each turn of the flood and for those that are being checked; a few more may be checked before the server has received theirs. Of
/// the 24 a thread in the queue, most come later. At 250 ms each, this is the bound in seconds.
fn people_have_their_turn_in_a_flood(turns: usize, address: impl Fn(usize) -> String + Sync) {
    let app = TestApp::with(|config| {
        behind_a_proxy(config);
        // The queue is as long as there are threads: so is the flood.
        config.auth_rate_per_minute = Config::default().auth_rate_per_minute * hashing_threads() as u32;
    });
    let people: Vec<_> = (0..3).map(|number| app.signed_up(&format!("person-{number}"))).collect();
    let guess = |connection: usize, number: usize| {
        let email = format!("nobody-{connection}-{number}@example.org");
        app.login_from(&email, "a wild guess", &[("X-Forwarded-For", &address(connection))]).status
    };
    let guess = &guess;
    let checked = || number(&app, "logins_total{result=\"failed\"}");
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS * hashing_threads() {
            scope.spawn(move || (0..5).take_while(|number| guess(connection, *number) == 401).count());
        }
        eventually("the flood fills the queue", || number(&app, "hashing_refused_total") > 0);
        for (place, person) in people.iter().enumerate() {
            let (before, from) = (checked(), format!("192.0.2.{place}"));
            app.login_from(&person.email, PASSWORD, &[("X-Forwarded-For", &from)]).expect(200, "success");
            let waited_for = checked() - before;
            let most = i64::try_from(turns + hashing_threads()).expect("a small number") + 16;
            assert!(waited_for <= most, "{waited_for} logins were checked meanwhile");
        }
        assert!(number(&app, "hashing_queue_length") > 0, "the flood is over, and proves nothing");
    });
}

#[test]
fn a_flood_of_logins_from_one_address_keeps_nobody_else_out() {
    people_have_their_turn_in_a_flood(1, |_| "198.51.100.1".into());
}

#[test]
fn a_flood_of_logins_from_ten_addresses_keeps_nobody_else_out() {
    people_have_their_turn_in_a_flood(10, |connection| format!("198.51.100.{}", connection % 10));
}

#[test]
fn a_flood_of_logins_from_every_network_of_one_subscriber_keeps_nobody_else_out() {
    people_have_their_turn_in_a_flood(1, |connection| format!("2001:db8:0:{connection:x}::1"));
}

#[test]
fn a_request_beyond_the_rate_limit_never_enters_the_hashing_queue() {
    let app = TestApp::with(|config| {
        behind_a_proxy(config);
        config.auth_rate_per_minute = 3;
    });
    let answers = at_once(CONNECTIONS, |number| app.login(&format!("nobody-{number}@example.org"), "a wild guess"));
    assert_eq!((count(&answers, 401), count(&answers, 429)), (3, CONNECTIONS - 3));
}

/// A field of `/proc/…/stat` (proc(5)): the niceness is the 19th, and the second is the name in brackets.
#[test]
#[cfg(target_os = "linux")]
fn a_thread_hashes_at_a_lower_priority_than_the_others_read() {
    let _app = TestApp::start();
    let niceness_of = |wanted: &str| -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks").flatten();
        // A thread of another test may end meanwhile.
        let read = |path: &std::path::Path, name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        let named = tasks.map(|task| task.path()).filter(|path| read(path, "comm").trim() == wanted);
        let stats = named.map(|path| read(&path, "stat"));
        stats.filter_map(|stat| Some(stat.rsplit(')').next()?.split_whitespace().nth(16)?.to_string())).collect()
    };
    // Tests may run at a lower priority themselves.
    let lower = |niceness: &String| niceness.parse::<i32>().map(|niceness| (niceness + 5).min(19).to_string());
    eventually("all hashing threads give way to all workers", || {
        let (hashing, workers) = (niceness_of("hashing"), niceness_of("worker"));
        hashing.len() >= hashing_threads()
            && workers.len() >= 3
            && workers.iter().all(|worker| *worker == workers[0])
            && hashing.iter().all(|niceness| Ok(niceness) == lower(&workers[0]).as_ref())
    });
}
