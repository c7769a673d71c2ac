//! The program itself, started with its own environment in a folder of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::app::{Person, SECRET};
use super::folder::Folder;
use super::postgres;

/// A command line and its environment: nothing is inherited but the way to PostgreSQL's programs.
pub struct Program {
    command: Command,
}

impl Program {
    /// With no settings at all, in this working directory.
    pub fn bare(folder: &Folder, arguments: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healthcare-backend"));
        command.args(arguments).current_dir(folder.path()).env_clear();
        for name in ["PATH", "HOME", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Program { command }
    }

    /// On this database, with cheap hashing and a free port.
    pub fn on(database: &str, folder: &Folder, arguments: &[&str]) -> Program {
        let program = Program::bare(folder, arguments).weak();
        program.set("DATABASE_URL", database).set("JWT_SECRET", SECRET)
    }

    /// On a new, migrated database.
    pub fn new(folder: &Folder, arguments: &[&str]) -> Program {
        Program::on(&postgres::new_database(), folder, arguments)
    }

    /// Cheap hashing, a free port, and as many changes as a test wants.
    pub fn weak(self) -> Program {
        self.set("CHANGES_PER_MINUTE", "0").set("PORT", "0").set("ALLOW_WEAK_HASHING", "1").set("BCRYPT_COST", "4")
    }

    pub fn set(mut self, name: &str, value: &str) -> Program {
        self.command.env(name, value);
        self
    }

    pub fn set_bytes(mut self, name: &str, value: &[u8]) -> Program {
        self.command.env(name, OsStr::from_bytes(value));
        self
    }

    /// Runs to its end, with this on standard input.
    pub fn run(mut self, input: &str) -> Ended {
        let mut child = self.command.spawn().expect("the program");
        // A program that does not read its input has closed it by now, perhaps.
        let _ = child.stdin.take().expect("standard input").write_all(input.as_bytes());
        Ended::from(child.wait_with_output().expect("an end"))
    }

    /// Runs beside the test, which has its standard input.
    pub fn spawn(mut self) -> Child {
        self.command.spawn().expect("the program")
    }

    /// Runs until it listens.
    pub fn serve(self) -> Serving {
        self.start().listening()
    }

    /// Starts, and may take its time before it listens.
    pub fn start(mut self) -> Starting {
        let mut child = self.command.stdin(Stdio::null()).spawn().expect("the program");
        let stdout = BufReader::new(child.stdout.take().expect("standard output"));
        let log = Log::of(child.stderr.take().expect("standard error"));
        Starting { child, stdout, log }
    }
}

/// What a program has written to standard error so far.
struct Log {
    lines: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Log {
        let lines = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&lines);
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *heard.lock().expect("the lines") += &(line + "\n");
            }
        });
        Log { lines, thread: Some(thread) }
    }

    fn lines_with(&self, part: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("the lines");
        lines.lines().filter(|line| line.contains(part)).map(str::to_string).collect()
    }

    /// All of it, when the program has ended.
    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
        self.lines.lock().expect("the lines").clone()
    }
}

/// A server that does not listen yet.
pub struct Starting {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Log,
}

impl Starting {
    /// Waits until it listens.
    pub fn listening(mut self) -> Serving {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let _ = self.child.wait();
            panic!("it does not listen: {line:?} {}", self.log.whole());
        };
        Serving { child: self.child, stdout: self.stdout, log: self.log, address }
    }

    /// The lines of its log so far that have this part.
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        self.log.lines_with(part)
    }

    /// Waits until its log has a line with this part.
    pub fn says(&self, part: &str) {
        super::eventually(part, || !self.lines_with(part).is_empty());
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) -> Ended {
        signal(&self.child, "TERM");
        let code = self.child.wait().expect("an end").code();
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("UTF-8");
        Ended { code, stdout, stderr: self.log.whole() }
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(status.expect("kill").success());
}

/// What a command that has ended leaves behind.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// It succeeded; the one line that it said.
    #[track_caller]
    pub fn said(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        let line = self.stdout.strip_suffix('\n').expect("a line");
        assert!(!line.is_empty() && !line.contains('\n'), "{self:?}");
        line
    }

    /// It failed with this code; the lines that say why, without the program's name. Log lines of level `warn` and below may
    /// stand before them.
    #[track_caller]
    pub fn problems(&self, code: i32) -> Vec<&str> {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.stderr.lines().filter_map(|line| line.strip_prefix("healthcare-backend: ")).collect()
    }

    /// It failed with this code and one line, which is all it said.
    #[track_caller]
    pub fn problem(&self, code: i32) -> &str {
        let problems = self.problems(code);
        assert_eq!((problems.len(), self.stderr.lines().count()), (1, 1), "{self:?}");
        problems[0]
    }
}

/// A server that runs. Dropping it ends it.
pub struct Serving {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Log,
    pub address: SocketAddr,
}

impl Serving {
    /// Sends a signal, `TERM` for example.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The lines of its log so far that have this part.
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        self.log.lines_with(part)
    }

    /// Nobody in particular, as a client of this server.
    pub fn anyone(&self) -> Person {
        Person { address: self.address, id: 0, email: String::new(), token: None, refresh_token: String::new() }
    }

    /// The value of a sample of `/metrics`, given its name with its labels.
    pub fn metric(&self, sample: &str) -> f64 {
        super::http::metric(self.address, sample)
    }

    /// A user of the same database, as a client of this server.
    pub fn client(&self, user: &Person) -> Person {
        Person { address: self.address, ..user.clone() }
    }

    /// What the system says of its memory, in MiB: `VmRSS` is now, `VmHWM` the most that it ever was.
    pub fn memory(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("its descriptors").count()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let code = self.child.wait().expect("an end").code();
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("UTF-8");
        Ended { code, stdout, stderr: self.log.whole() }
    }

    /// Ends it as an operator does.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
            let _ = self.child.wait();
        }
    }
}
