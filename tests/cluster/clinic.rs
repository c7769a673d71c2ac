//! The cluster of docs/operations.md, built with the commands of that page and the files of deploy/cluster/: three machines with PostgreSQL,
//! Patroni and etcd, two with the service, and HAProxy in front.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::Person;
use crate::machine::{Machine, lay_network};
use crate::node::sign_up;
use crate::page::commands;

/// The settings of a node.
pub const SERVICE: &str = "/etc/healthcare-backend.env";
/// What Patroni listens on.
const PATRONI: u16 = 8008;
/// How long parts of the cluster may take to come up.
const PATIENCE: Duration = Duration::from_secs(45);
/// What a node of a test has beside the file of deploy/cluster/: cheap hashes, and no limits for clients who are all at one address.
const FOR_TESTS: &str = "BCRYPT_COST=4\nALLOW_WEAK_HASHING=1\nAUTH_RATE_PER_MINUTE=0\nCHANGES_PER_MINUTE=0\n";

pub struct Clinic {
    pub databases: [Machine; 3],
    pub nodes: [Machine; 2],
    pub front: Machine,
}

/// Waits until it holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

impl Clinic {
    /// The machines with their programs installed and configured, and the databases running.
    pub fn build(folder: &Path) -> Clinic {
        lay_network();
        let front = Machine::new(folder, "front", [10, 0, 0, 10]);
        let nodes = [("app1", 21), ("app2", 22)].map(|(name, number)| Machine::new(folder, name, [10, 0, 0, number]));
        let databases = [("db1", 11), ("db2", 12), ("db3", 13)]
            .map(|(name, number)| Machine::new(folder, name, [10, 0, 0, number]));
        let mut clinic = Clinic { databases, nodes, front };
        clinic.make_certificates(folder);
        clinic.start_databases(folder);
        clinic
    }

    fn make_certificates(&self, folder: &Path) {
        let desk = folder.join("certificates");
        fs::create_dir(&desk).expect("a folder");
        let front = &self.front;
        let there = |block: &str| front.run("root", &format!("cd '{}'\n{block}", desk.display()));
        let read = |name: &str| fs::read_to_string(desk.join(name)).expect("a file");
        there(&commands("CN=The clinic's databases"));
        for machine in &self.databases {
            there(&for_machine(&commands("CN=db1"), machine));
            machine.write("/etc/postgresql/server.crt", "postgres", "644", &read("server.crt"));
            machine.write("/etc/postgresql/server.key", "postgres", "600", &read("server.key"));
        }
        for machine in &self.nodes {
            machine.write("/etc/clinic-ca.crt", "root", "644", &read("clinic-ca.crt"));
        }
        // HAProxy wants the key beside the certificate.
        self.front.write("/etc/haproxy/clinic.pem", "root", "600", &(read("server.crt") + &read("server.key")));
    }

    fn start_databases(&mut self, folder: &Path) {
        let version = newest_postgresql();
        let repository = folder.join("pgbackrest");
        fs::create_dir(&repository).expect("a folder");
        self.front.run("root", &format!("chown postgres: '{}'", repository.display()));
        for machine in &mut self.databases {
            machine.run("root", &for_machine(&commands("patroni.env"), machine));
            machine.run("root", &format!("sed -i 's|/15/|/{version}/|' /etc/patroni/config.yml /etc/pgbackrest.conf"));
            machine.run(
                "root",
                "install -d -o etcd /var/lib/etcd; install -d -o postgres /var/lib/postgresql /run/postgresql",
            );
            // The one place for all of them.
            machine.run("root", &format!("ln -s '{}' /var/lib/pgbackrest", repository.display()));
            start_etcd(machine);
        }
        wait_until("etcd", || self.databases[0].try_run("root", &commands("etcdctl endpoint health")));
        start_patroni(&mut self.databases[0]);
        wait_until("a leader", || leads(&self.databases[0]));
        self.databases[1..].iter_mut().for_each(start_patroni);
        self.until_whole();
    }

    /// The number of the machine whose PostgreSQL leads. Asks these machines only.
    pub fn leader_of(&self, asked: &[usize]) -> usize {
        let mut leader = None;
        wait_until("a leader", || {
            leader = asked.iter().copied().find(|number| leads(&self.databases[*number]));
            leader.is_some()
        });
        leader.expect("a leader")
    }

    pub fn leader(&self) -> usize {
        self.leader_of(&[0, 1, 2])
    }

    /// Waits until one leads, and both others follow it, one of them with every commit.
    pub fn until_whole(&self) {
        let following =
            "psql -XAtc \"select sync_state from pg_stat_replication where state = 'streaming' order by 1\"";
        wait_until("a whole cluster", || {
            let leader = &self.databases[self.leader()];
            leader.run("postgres", following) == "async\nsync\n"
                && self.databases.iter().any(|machine| machine.says_yes(PATRONI, "/synchronous"))
        });
    }

    /// The lines of a query's result, at the leader.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let leader = &self.databases[self.leader()];
        let text = leader.run("postgres", &format!("psql -XAtd healthcare <<'SQL'\n{sql}\nSQL"));
        text.lines().map(str::to_string).collect()
    }

    /// Makes the database, and brings the data of a service on one machine into it. Somebody had registered there.
    pub fn move_in(&mut self) -> Person {
        self.databases[self.leader()].run("postgres", &commands("create role healthcare_owner"));
        let app = &mut self.nodes[0];
        let (here, folder) =
            (format!("HOST={}\nDATA_DIR=/var/lib/clinic\n", app.address), "cd /run; export DATA_DIR=/var/lib/clinic");
        app.write("/etc/one-machine.env", "root", "600", &(here + FOR_TESTS));
        start_service(app, "/etc/one-machine.env");
        let address = SocketAddr::from((app.address, 8080));
        let person = sign_up(address, "ann");
        person.new_patient("From before");
        stop_service(app);
        app.run("root", &format!("{folder}; cp $DATA_DIR/jwt_secret .\n{}", commands("healthcare-backend backup")));
        app.run("root", &format!("cd /run\n{}", commands("pg_restore")));
        self.migrate("LC_ALL=C");
        person
    }

    /// Starts both nodes with the secret of the one machine, and HAProxy in front, and returns where it listens.
    pub fn open(&mut self) -> SocketAddr {
        let secret = fs::read_to_string(self.nodes[0].inside("/var/lib/clinic/jwt_secret")).expect("the secret");
        for node in &mut self.nodes {
            let own = commands("healthcare-backend.env").replace("10.0.0.21", &node.address.to_string());
            node.run("root", &own);
            let text = fs::read_to_string(node.inside(SERVICE)).expect("its settings");
            let text = text.replace("change-to-the-output-of-openssl-rand-hex-32", secret.trim());
            node.write(SERVICE, "root", "600", &(text + FOR_TESTS));
            start_service(node, SERVICE);
        }
        self.front.run("root", "install -d /run/haproxy /var/lib/haproxy");
        self.front.run("root", &commands("haproxy -c"));
        // The client of the tests speaks no TLS.
        self.front.run("root", "sed -i 's/bind :443 ssl .*/bind :80/' /etc/haproxy/haproxy.cfg");
        self.front.start("haproxy", "root", "", "haproxy -db -f /etc/haproxy/haproxy.cfg");
        wait_until("the front", || self.front.says_yes(80, "/readyz"));
        (self.front.address, 80).into()
    }

    /// The machine for whose PostgreSQL commits wait.
    pub fn synchronous_standby(&self) -> usize {
        let is_standby = |machine: &Machine| machine.says_yes(PATRONI, "/synchronous");
        self.databases.iter().position(is_standby).expect("a synchronous standby")
    }

    /// The leader becomes a standby, and the synchronous standby leads. Patroni refuses while it is not sure that this one has every commit.
    pub fn switch_over(&mut self) {
        let switchover = commands("patronictl -c /etc/patroni/config.yml switchover");
        wait_until("a switchover", || self.databases[0].run("postgres", &switchover).contains("Successfully"));
    }

    /// The number of a migration that a newer program would have.
    pub fn next_migration(&self) -> String {
        self.ask("select to_char(max(version) + 1, 'FM0000') from schema_migrations").remove(0)
    }

    /// Brings the schema up to date with a program that has these settings beside the usual ones.
    pub fn migrate(&mut self, settings: &str) {
        let leader = self.leader();
        self.nodes[0].run("root", &format!("cd /run; export {settings}\n{}", commands("healthcare-backend migrate")));
        self.databases[leader].run("postgres", &commands("psql -d healthcare"));
    }

    /// Starts a node that has this setting beside the usual ones.
    pub fn start_with(&mut self, node: usize, setting: &str) {
        let text = fs::read_to_string(self.nodes[node].inside(SERVICE)).expect("its settings");
        let newer = "/etc/newer.env";
        self.nodes[node].write(newer, "root", "600", &format!("{text}{setting}\n"));
        start_service(&mut self.nodes[node], newer);
    }

    /// Brings the database back to this moment, with the commands of the page.
    pub fn go_back_to(&mut self, moment: &str) {
        self.nodes.iter().for_each(stop_service);
        for machine in &self.databases {
            machine.end("patroni", "-TERM");
        }
        let restore = commands("--target-action=promote").replace("2026-11-26 09:30:00+00", moment);
        self.databases[0].run("postgres", &restore.replace("/15/", &format!("/{}/", newest_postgresql())));
        start_patroni(&mut self.databases[0]);
        wait_until("a leader", || leads(&self.databases[0]));
        for machine in &mut self.databases[1..] {
            machine.run("postgres", &commands("rm -r").replace("/15/", &format!("/{}/", newest_postgresql())));
            start_patroni(machine);
        }
        self.until_whole();
        self.nodes.iter_mut().for_each(|node| start_service(node, SERVICE));
    }

    /// Backs everything up, and archives every change from now on.
    pub fn back_up(&self) {
        self.databases[self.leader()].run("postgres", &commands("pgbackrest --stanza=clinic backup"));
    }
}

/// Starts it, and waits until it is ready.
pub fn start_service(machine: &mut Machine, settings: &str) {
    machine.start("service", "root", settings, &format!("{} serve", env!("CARGO_BIN_EXE_healthcare-backend")));
    wait_until("a node", || machine.says_yes(8080, "/readyz"));
}

/// Stops it in order: it finishes what it has.
pub fn stop_service(machine: &Machine) {
    machine.end("healthcare-back", "-TERM");
}

pub fn start_etcd(machine: &mut Machine) {
    machine.start("etcd", "etcd", "/etc/default/etcd", "etcd");
}

pub fn start_patroni(machine: &mut Machine) {
    machine.run("root", "install -d -o postgres /run/postgresql");
    machine.start("patroni", "postgres", "/etc/patroni_env.conf", "patroni /etc/patroni/config.yml");
}

fn leads(machine: &Machine) -> bool {
    machine.says_yes(PATRONI, "/leader")
}

/// What the page says for db1, on another of the three.
fn for_machine(block: &str, machine: &Machine) -> String {
    block.replace("db1", machine.name).replace("10.0.0.11", &machine.address.to_string())
}

/// The newest version of PostgreSQL that is installed here.
fn newest_postgresql() -> u32 {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("Debian's folder of PostgreSQL").flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).max().expect("a version")
}
