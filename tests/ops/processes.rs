//! Processes: which there are, and signals to them.

use std::fs;
use std::process::Command;

/// A process and its children.
pub fn family(parent: u32) -> Vec<u32> {
    let mut pids = vec![parent];
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // "4711 (name with blanks) S 4710 …": the state and the parent's number follow the last parenthesis.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        if after_name.split_whitespace().nth(1) == Some(&parent.to_string()) {
            pids.push(pid);
        }
    }
    pids
}

/// Whether the process exists and is not just waiting to be buried.
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

pub fn signal(name: &str, pids: &[u32]) {
    // Some may be gone already.
    let _ = Command::new("kill").arg(name).args(pids.iter().map(u32::to_string)).output().expect("kill");
}
