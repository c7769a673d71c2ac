//! A machine of the test: its own network device, process ids, host name, and folders `/etc`, `/run`, `/var/lib` and `/var/log`. All
//! machines share one switch, a bridge in the network of the test itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{eventually, http};
use crate::processes::{family, signal};

/// What a machine has of its own when it starts: `/etc` is a copy, the others are empty.
const OWN: [&str; 4] = ["etc", "run", "var/lib", "var/log"];
/// The first process of a machine. It also buries processes whose parents have ended.
const INIT: &str = r#"
exec 2>&1
hostname "$1" && ip link set lo up || exit 1
for place in etc run var/lib var/log; do mount --bind "$2/$place" "/$place" || exit 1; done
echo started
while sleep 1; do :; done"#;

pub struct Machine {
    pub name: &'static str,
    pub address: Ipv4Addr,
    folder: PathBuf,
    /// While it is on.
    running: Option<Running>,
}

struct Running {
    /// Makes the namespaces, and ends with its child, which is the machine's first process.
    unshare: Child,
    init: u32,
    programs: Vec<Child>,
}

/// The switch that all machines are plugged into. The test has an address there as well.
pub fn lay_network() {
    ip("link set lo up");
    ip("link add lan type bridge");
    ip("addr add 10.0.0.1/24 dev lan");
    ip("link set lan up");
}

fn ip(arguments: &str) {
    expect(Command::new("ip").args(arguments.split(' ')));
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            signal("-KILL", &[running.init, running.unshare.id()]);
            let _ = running.unshare.wait();
        }
    }
}

/// Runs it to its end and returns what it wrote.
fn expect(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("a program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

impl Machine {
    /// A new one, switched on.
    pub fn new(folder: &Path, name: &'static str, address: [u8; 4]) -> Machine {
        let folder = folder.join(name);
        for place in OWN {
            fs::create_dir_all(folder.join(place)).expect("a folder");
        }
        expect(Command::new("cp").args(["-a", "/etc/."]).arg(folder.join("etc")));
        let mut machine = Machine { name, address: address.into(), folder, running: None };
        machine.switch_on();
        machine
    }

    /// Its files are as they were when it was switched off.
    pub fn switch_on(&mut self) {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.args(["sh", "-c", INIT, "init", self.name]).arg(&self.folder);
        let mut unshare =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("unshare");
        let mut line = String::new();
        BufReader::new(unshare.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        assert_eq!(line, "started\n", "{}", self.name);
        let init = family(unshare.id())[1];
        self.running = Some(Running { unshare, init, programs: Vec::new() });
        ip(&format!("link add {} type veth peer name eth0 netns {init}", self.name));
        ip(&format!("link set {} master lan up", self.name));
        self.run("root", &format!("ip addr add {}/24 dev eth0 && ip link set eth0 up", self.address));
    }

    /// As when its power fails: nobody hears of it again.
    pub fn lose_power(&mut self) {
        self.unplug();
        let mut running = self.running.take().expect("a machine that is on");
        signal("-KILL", &[running.init]);
        for mut program in running.programs.drain(..) {
            program.wait().expect("its end");
        }
        running.unshare.wait().expect("its end");
        // The device goes with the last process, or now.
        let _ = Command::new("ip").args(["link", "del", self.name]).output().expect("ip");
    }

    /// Stops all of its processes where they are. Its connections stay open, and its kernel accepts new ones.
    pub fn freeze(&self) {
        signal("-STOP", &self.processes());
    }

    pub fn thaw(&self) {
        signal("-CONT", &self.processes());
    }

    /// Cuts it off: what it sends arrives nowhere, and nothing arrives there.
    pub fn unplug(&self) {
        ip(&format!("link set {} nomaster", self.name));
    }

    pub fn plug_in(&self) {
        ip(&format!("link set {} master lan", self.name));
    }

    /// Ends the processes of this name with this signal, and waits for their end.
    pub fn end(&self, name: &str, signal_name: &str) {
        let named = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
        let pids: Vec<u32> = self.processes().into_iter().filter(named).collect();
        assert!(!pids.is_empty(), "no {name} runs on {}", self.name);
        signal(signal_name, &pids);
        eventually("the end of a process", || !pids.iter().any(|pid| named(pid) && crate::processes::is_running(*pid)));
    }

    /// The processes on it, by their network.
    fn processes(&self) -> Vec<u32> {
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let own = network(&self.running().init.to_string()).expect("its network");
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let here = names.filter(|name| name.parse::<u32>().is_ok() && network(name).as_ref() == Some(&own));
        here.filter_map(|name| name.parse().ok()).collect()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a machine that is on")
    }

    /// Writes a file of this mode, which belongs to this user.
    pub fn write(&self, path: &str, owner: &str, mode: &str, text: &str) {
        let inside = self.inside(path);
        fs::create_dir_all(inside.parent().expect("a folder")).expect("a folder");
        fs::write(inside, text).expect("a file");
        self.run("root", &format!("chown {owner}: {path} && chmod {mode} {path}"));
    }

    /// Runs this shell command as this user, and returns what it writes.
    #[track_caller]
    pub fn run(&self, user: &str, command: &str) -> String {
        expect(&mut self.shell(user, command))
    }

    /// Whether this shell command succeeds.
    pub fn try_run(&self, user: &str, command: &str) -> bool {
        self.shell(user, command).output().expect("nsenter").status.success()
    }

    /// Starts a program as systemd would: as this user, with the variables of this file, until something ends it. Its output goes to
    /// `/var/log/NAME.log`.
    pub fn start(&mut self, name: &str, user: &str, environment: &str, command: &str) {
        let log = self.inside(&format!("var/log/{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let variables = fs::read_to_string(self.inside(environment)).unwrap_or_default();
        let mut shell = self.shell(user, &format!("exec {command}"));
        shell.envs(variables.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')));
        shell.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = shell.spawn().expect("nsenter");
        self.running.as_mut().expect("a machine that is on").programs.push(child);
    }

    fn shell(&self, user: &str, command: &str) -> Command {
        let mut shell = Command::new("nsenter");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        shell.env_clear().env("PATH", path).env("LC_ALL", "C.UTF-8").env("HOME", "/tmp");
        shell.args(["--target", &self.running().init.to_string(), "--net", "--mount", "--uts", "--pid", "--"]);
        shell.arg("setpriv").arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--init-groups");
        shell.args(["sh", "-e", "-c", command]);
        shell
    }

    /// One of its files, as the test sees it.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// Whether it says 200 to this path. Ask no frozen machine: it accepts the connection and says nothing.
    pub fn says_yes(&self, port: u16, path: &str) -> bool {
        let address = (self.address, port).into();
        http::try_send(address, "GET", path, &[], None).is_some_and(|answer| answer.status == 200)
    }
}
