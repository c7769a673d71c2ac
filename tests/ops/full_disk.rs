//! A disk without room: changes are refused, reads go on, and room is all that it takes to mend.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Folder};
use crate::harness::{Person, eventually};
use crate::node::Node;

/// The longest that a client may wait for a refusal.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_full_disk_refuses_changes_and_goes_on_reading() {
    let folder = Folder::new("full-table");
    let Some(disk) = Mounted::new(&folder, "16m") else { return };
    let cluster = Cluster::start(&folder, "data", &[]);
    let node = Node::start(&[("DATABASE_URL", cluster.connection_string())]);
    let ann = node.signed_up("ann");
    let id = ann.new_patient("Someone");
    // Only the records are on the full disk: PostgreSQL's own log is not, so it runs on.
    let (uid, gid) = cluster.owner();
    std::os::unix::fs::chown(&disk.0, Some(uid), Some(gid)).expect("a disk of PostgreSQL's user");
    cluster.sql(&format!("create tablespace small location '{}'", disk.0.display()));
    cluster.sql("alter table patients set tablespace small");

    let ballast = disk.0.join("ballast");
    fill(&ballast);
    let (refused, _) = write_until_refused(&ann);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    ann.get(&format!("/api/patients/{id}")).expect(200, "success");
    ann.get("/api/patients?limit=5").expect(200, "success");
    ann.new_doctor("Dr Elsewhere");
    node.anyone().get("/readyz").expect(200, "success");
    assert!(node.lines_with("Z error ").is_empty(), "{:#?}", node.lines_with("Z error "));

    fs::remove_file(&ballast).expect("space again");
    eventually("service", || ann.post("/api/patients", long_patient(0)).status == 201);
}

#[test]
fn a_disk_full_for_everything_mends_without_a_restart_of_the_server() {
    let folder = Folder::new("full");
    let Some(disk) = Mounted::new(&folder, "96m") else { return };
    let small_log = [("max_wal_size", "32MB"), ("min_wal_size", "32MB"), ("wal_recycle", "off")];
    let cluster = Cluster::start_in(disk.0.join("data"), &small_log);
    let node = Node::start(&[("DATABASE_URL", cluster.connection_string())]);
    let ann = node.signed_up("ann");
    let ballast = disk.0.join("ballast");
    fill(&ballast);
    let (refused, acknowledged) = write_until_refused(&ann);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    node.anyone().get("/healthz").expect(200, "success");

    fs::remove_file(&ballast).expect("space again");
    eventually("service", || ann.post("/api/patients", long_patient(0)).status == 201);
    let rows = "select count(*) from patients where name = 'Long'";
    let count: i64 = cluster.connect().query_one(rows, &[]).expect("a count").get(0);
    assert!(count > acknowledged, "{count} rows, {acknowledged} acknowledged before and one after");
}

/// A record of some 19 KB that do not compress well.
fn long_patient(number: u64) -> serde_json::Value {
    let mut seed = number + 1;
    let history: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", seed.rotate_right(29) ^ seed)
    })
    .take(1200)
    .collect();
    serde_json::json!({ "name": "Long", "date_of_birth": "1990-04-23", "gender": "female", "medical_history": history })
}

/// The first refusal, and how many were acknowledged before it.
fn write_until_refused(person: &Person) -> (crate::harness::http::Answer, i64) {
    for acknowledged in 0..3000_i64 {
        let start = Instant::now();
        let answer = person.post("/api/patients", long_patient(acknowledged.unsigned_abs()));
        if answer.status != 201 {
            assert!(start.elapsed() < REFUSED_WITHIN, "{:?}", start.elapsed());
            return (answer, acknowledged);
        }
    }
    panic!("the disk is not full");
}

/// A small disk, until the end of the test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// The only way to a small disk is a mount, which is root's to make: without that the test says so and is done.
    fn new(folder: &Folder, size: &str) -> Option<Mounted> {
        let disk = folder.0.join("disk");
        fs::create_dir(&disk).expect("a folder");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "tmpfs"]).arg(&disk).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Mounted(disk));
        }
        // Printed, because the test harness hides the output of tests that pass.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: a full disk needs root, to mount a small one");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Writes until the disk is full.
fn fill(path: &std::path::Path) {
    let mut file = fs::File::create(path).expect("a file");
    for size in [1 << 20, 1 << 12] {
        let block = vec![1; size];
        while file.write_all(&block).is_ok() {}
    }
}
