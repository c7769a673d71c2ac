//! Calls to the operating system, and the error line for what it refuses.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

/// The first line that a short command prints, if it succeeds.
pub(super) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Why a program of PostgreSQL failed, as it says itself.
pub fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    // "initdb: error: …" says more than the "removing contents of …" after it.
    let error = text.lines().find(|line| line.contains("error:") || line.contains("FATAL"));
    error.or(text.lines().last()).unwrap_or("it gave no reason").trim().to_owned()
}

/// The line for an operation that the operating system refused.
pub(super) fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> String {
    let what_to_do = match error.kind() {
        ErrorKind::PermissionDenied => ": run as its owner, or set DATA_DIR to a folder of your own",
        ErrorKind::StorageFull => ": free some space",
        _ => "",
    };
    format!("cannot {verb} {}: {error}{what_to_do}", path.display())
}
