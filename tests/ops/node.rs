//! The program itself, as an operator starts it: its environment, its standard output, its log lines, its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::{PASSWORD, Person, eventually};

/// A server in a process of its own, killed at the end of the test.
pub struct Node {
    child: Child,
    pub address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// Starts the program and waits until it listens. An empty value removes a variable.
    pub fn start(environment: &[(&str, &str)]) -> Node {
        Node::try_start(environment).unwrap_or_else(|lines| panic!("it did not start: {lines:#?}"))
    }

    /// # Errors
    /// Its log lines, where it ends before it listens.
    pub fn try_start(environment: &[(&str, &str)]) -> Result<Node, Vec<String>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healthcare-backend"));
        command.current_dir("/").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let usual = [
            ("PORT", "0"),
            ("BCRYPT_COST", "4"),
            ("ALLOW_WEAK_HASHING", "1"),
            ("AUTH_RATE_PER_MINUTE", "0"),
            ("CHANGES_PER_MINUTE", "0"),
            ("WORKERS", "3"),
            ("JWT_SECRET", crate::harness::app::SECRET),
        ];
        command.envs(usual).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (errors, heard) = (child.stderr.take().expect("its log"), Arc::clone(&lines));
        let hearing = thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                heard.lock().expect("the lines").push(line);
            }
        });
        let (out, (sender, receiver)) = (child.stdout.take().expect("its output"), mpsc::channel());
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => {
                let address = line.strip_prefix("listening on http://").expect("the line with its address");
                Ok(Node { child, address: address.parse().expect("an address"), lines })
            }
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                // Its last line may be on its way.
                hearing.join().expect("no panic");
                Err(lines.lock().expect("the lines").clone())
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("the lines").clone()
    }

    /// The log lines that have this part.
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(part)).collect()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("its end");
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        crate::processes::signal("-TERM", &[self.pid()]);
        self.child.wait().expect("its end")
    }

    /// Nobody in particular.
    pub fn anyone(&self) -> Person {
        nobody_at(self.address)
    }

    pub fn signed_up(&self, name: &str) -> Person {
        sign_up(self.address, name)
    }

    /// Waits until `/readyz` has this status.
    pub fn until_ready(&self, status: u16) {
        eventually("readiness", || self.anyone().get("/readyz").status == status);
    }

    /// The value of a sample of `/metrics`, by its name with labels.
    pub fn number(&self, sample: &str) -> f64 {
        let page = String::from_utf8(self.anyone().get("/metrics").body).expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().expect("a number")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn nobody_at(address: SocketAddr) -> Person {
    Person { address, id: 0, email: String::new(), token: None, refresh_token: String::new() }
}

/// A new user of whatever serves at this address, logged in.
pub fn sign_up(address: SocketAddr, name: &str) -> Person {
    let email = format!("{name}@example.org");
    let nobody = nobody_at(address);
    let body = json!({ "name": name, "email": email, "password": PASSWORD });
    nobody.post("/api/auth/register", body).expect(201, "created");
    let data =
        nobody.post("/api/auth/login", json!({ "email": email, "password": PASSWORD })).expect(200, "success").data();
    Person {
        address,
        id: data["user"]["id"].as_i64().expect("an id"),
        email,
        token: Some(data["token"].as_str().expect("a token").to_string()),
        refresh_token: data["refresh_token"].as_str().expect("a refresh token").to_string(),
    }
}
