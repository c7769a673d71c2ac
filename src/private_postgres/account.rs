//! The user of the private PostgreSQL. PostgreSQL refuses to run as root, so root's private PostgreSQL runs as another user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::system::{cannot, first_line};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// PostgreSQL refuses to run as root. Its packages make the user `postgres`; `nobody` is on every system.
pub(super) fn unprivileged_account() -> Result<Account, String> {
    let id = |what: &str, name: &str| first_line(Command::new("id").args([what, name]))?.parse().ok();
    let account = |name| Some(Account { uid: id("-u", name)?, gid: id("-g", name)? });
    let found = ["postgres", "nobody"].into_iter().filter_map(account).find(|account| account.uid != 0);
    found.ok_or_else(|| {
        "PostgreSQL refuses to run as root, and there is no user `postgres`: make one, or run as a plain user"
            .to_owned()
    })
}

pub(super) fn effective_uid() -> Result<u32, String> {
    let said = first_line(Command::new("id").arg("-u")).and_then(|line| line.parse().ok());
    said.ok_or_else(|| "the program `id` does not say which user this is: install it (coreutils)".to_owned())
}

pub(super) fn owner_of(path: &Path) -> Result<Account, String> {
    let found = fs::metadata(path).map_err(|error| cannot("read", path, &error))?;
    Ok(Account { uid: found.uid(), gid: found.gid() })
}

/// The outermost folder on the way to this one that the account cannot enter.
pub(super) fn out_of_reach(folder: &Path, account: Account) -> Option<PathBuf> {
    if can_enter(folder, account) {
        return None;
    }
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    way.into_iter().find(|step| !can_enter(step, account)).map(Path::to_owned)
}

/// Tried rather than computed from modes, so that access lists and mounts count too: a child process enters the folder after
/// it has become that user.
pub(super) fn can_enter(folder: &Path, account: Account) -> bool {
    Command::new("/bin/sh").args(["-c", ":"]).current_dir(folder).gid(account.gid).uid(account.uid).status().is_ok()
}
