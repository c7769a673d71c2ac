//! Finds PostgreSQL's programs on this system, or says how to install them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::system::first_line;

/// The oldest major version whose `initdb` knows the options used here, and which is still maintained.
const OLDEST_MAJOR: u32 = 14;

/// The programs that a folder must hold. All come from one folder, so that versions are never mixed.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Where packages put the programs that they do not put on the `PATH`: folder, and how the names of the versions in it start.
const WELL_KNOWN: [(&str, &str); 4] = [
    ("usr/lib/postgresql", ""),         // Debian, Ubuntu
    ("opt/homebrew/opt", "postgresql"), // Homebrew on Apple silicon
    ("usr/local/opt", "postgresql"),    // Homebrew on Intel
    ("usr", "pgsql-"),                  // PostgreSQL's own packages for Fedora and RHEL
];

/// The folder of one installation's programs, with its major version.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Programs {
    pub bin: PathBuf,
    pub major: u32,
}

/// What the search looks at; a test hides the installed programs by giving another `path` and `root`.
pub(super) struct Search {
    path: OsString,
    root: PathBuf,
}

impl Search {
    /// The `PATH` and the root folder of this process.
    pub fn of_this_process() -> Search {
        Search { path: std::env::var_os("PATH").unwrap_or_default(), root: PathBuf::from("/") }
    }

    /// The first installation that is new enough to make a cluster with.
    pub fn best(&self) -> Result<Programs, String> {
        let mut too_old = None;
        for programs in self.installations() {
            if programs.major >= OLDEST_MAJOR {
                return Ok(programs);
            }
            too_old = Some(programs);
        }
        let found = match too_old {
            Some(old) => {
                format!("PostgreSQL {} in {} is too old ({OLDEST_MAJOR} is needed)", old.major, old.bin.display())
            }
            None => "PostgreSQL's programs (initdb, postgres, pg_ctl) were not found".to_owned(),
        };
        Err(format!(
            "{found}: install PostgreSQL with its contrib modules (Debian and Ubuntu: `apt-get install postgresql`, macOS: \
             `brew install postgresql`), or set DATABASE_URL to a PostgreSQL of your own"
        ))
    }

    /// The installation that can run a cluster of this major version: no other one can read its files.
    pub fn of_major(&self, major: u32) -> Result<Programs, String> {
        let mut others = Vec::new();
        for programs in self.installations() {
            if programs.major == major {
                return Ok(programs);
            }
            others.push(programs.major.to_string());
        }
        if others.is_empty() {
            return self.best();
        }
        others.dedup();
        let others = others.join(" and ");
        Err(format!(
            "the private PostgreSQL holds data of version {major}, which version {others} cannot read: install version {major} beside \
             it (Debian and Ubuntu: `apt-get install postgresql-{major}`; PostgreSQL's own packages have every version) and run \
             `healthcare-backend backup FILE`; then set DATA_DIR to a new folder and run \
             `healthcare-backend restore FILE`"
        ))
    }

    /// Every installation, best first, found only as far as the caller asks.
    fn installations(&self) -> impl Iterator<Item = Programs> + '_ {
        let on_path = || std::env::split_paths(&self.path).filter(|folder| folder.is_absolute());
        let told_by_pg_config = on_path()
            .map(|folder| folder.join("pg_config"))
            .filter(|program| is_executable(program))
            .filter_map(|program| first_line(Command::new(program).arg("--bindir")))
            .map(PathBuf::from);
        let well_known = WELL_KNOWN.iter().flat_map(|(folder, start)| versions_in(&self.root.join(folder), start));
        on_path().chain(told_by_pg_config).chain(well_known).filter_map(|folder| installation_in(&folder))
    }
}

/// The `bin` folders of the versions beneath a folder, highest version first.
fn versions_in(folder: &Path, start: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(start)?;
            let numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
            Some((numbers, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

/// The installation in a folder, if all of its programs are there and say a version.
fn installation_in(folder: &Path) -> Option<Programs> {
    let complete = |folder: &Path| PROGRAMS.iter().all(|name| is_executable(&folder.join(name)));
    if !complete(folder) {
        return None;
    }
    // A folder on the `PATH` may hold links only; the real place is the same whatever the `PATH` is next time.
    let real = fs::canonicalize(folder.join("postgres")).ok()?.parent()?.to_owned();
    let bin = if complete(&real) { real } else { folder.to_owned() };
    // "pg_ctl (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"; the smallest of them loads in a quarter of the time.
    let said = first_line(Command::new(bin.join("pg_ctl")).arg("--version"))?;
    let version = said.split_whitespace().nth(2)?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Programs { bin, major })
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root folder in the temp dir, removed with the value.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Root {
            let folder = std::env::temp_dir().join(format!("healthcare-programs-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder in the temp dir");
            Root(folder)
        }

        /// A shell script as a program. Another process writes it: while this one held the file open for writing, a test
        /// on another thread could fork, and running the script would fail as "text file busy".
        fn script(&self, program: &Path, says: &str) {
            let write = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
            let written = Command::new("sh").args(["-c", write, "sh"]).arg(program).arg(says).status();
            assert!(written.expect("sh").success());
        }

        /// Programs that only say their version.
        fn install(&self, folder: &str, version: &str) -> PathBuf {
            let bin = self.0.join(folder);
            fs::create_dir_all(&bin).expect("a bin folder");
            for name in PROGRAMS {
                self.script(&bin.join(name), &format!("postgres (PostgreSQL) {version}"));
            }
            fs::canonicalize(bin).expect("the bin folder")
        }

        fn search(&self, path: &str) -> Search {
            Search { path: path.into(), root: self.0.clone() }
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn missing_programs_are_one_line_that_says_how_to_install_them() {
        let line = Root::new("missing").search("").best().expect_err("nothing is installed");
        assert!(line.contains("apt-get install postgresql") && line.contains("DATABASE_URL"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }

    #[test]
    fn the_path_comes_first_then_the_highest_version() {
        let root = Root::new("order");
        root.install("usr/lib/postgresql/9.6/bin", "9.6.24");
        let fifteen = root.install("usr/lib/postgresql/15/bin", "15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!(root.search("").best(), Ok(Programs { bin: fifteen.clone(), major: 15 }));

        let seventeen = root.install("usr/pgsql-17/bin", "17.2");
        assert_eq!(root.search("").best().map(|found| found.major), Ok(15), "an earlier place wins");
        let path = format!("relative:{}", seventeen.display());
        assert_eq!(root.search(&path).best(), Ok(Programs { bin: seventeen.clone(), major: 17 }));

        // An existing cluster needs its own version, wherever that is.
        assert_eq!(root.search(&path).of_major(15).map(|found| found.bin), Ok(fifteen));
        assert_eq!(root.search("").of_major(17).map(|found| found.bin), Ok(seventeen));
        let line = root.search("").of_major(16).expect_err("16 is not installed");
        assert!(line.contains("version 16") && line.contains("apt-get install postgresql-16"), "{line}");
        // If the system no longer has version 16, the error shows the way to version 17.
        let way = ["version 15 and 9 and 17 cannot read", "backup FILE", "DATA_DIR to a new folder", "restore FILE"];
        assert!(way.iter().all(|step| line.contains(step)) && !line.contains('\n'), "{line}");
    }

    #[test]
    fn programs_that_are_too_old_or_incomplete_do_not_count() {
        let root = Root::new("old");
        root.install("usr/lib/postgresql/9.6/bin", "9.6.24");
        let line = root.search("").best().expect_err("9.6 is too old");
        assert!(line.contains("PostgreSQL 9 in") && line.contains("too old"), "{line}");

        let client_only = root.install("usr/lib/postgresql/16/bin", "16.1");
        fs::remove_file(client_only.join("initdb")).expect("a program less");
        assert!(root.search(&client_only.display().to_string()).best().is_err());
    }

    #[test]
    fn pg_config_is_asked() {
        let root = Root::new("pg-config");
        let hidden = root.install("somewhere/else", "16.1");
        let bin = root.0.join("bin");
        fs::create_dir_all(&bin).expect("a folder");
        root.script(&bin.join("pg_config"), &hidden.display().to_string());
        assert_eq!(root.search(&bin.display().to_string()).best().map(|found| found.bin), Ok(hidden));
    }
}
