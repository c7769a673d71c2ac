//! The files of the private PostgreSQL: where they are, whose they are, and how they are made so that no interruption leaves
//! half of them in the way.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::programs::{Programs, Search, first_line};
use super::{Settings, USER};

/// The port only names the socket file here: nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// The longest socket path that every system takes (Linux 107 bytes, macOS 103).
const LONGEST_SOCKET_PATH: usize = 103;

/// A log longer than this at a start is put aside as `postgresql.log.old`.
const LOG_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// Where root's clusters go when PostgreSQL's user cannot enter `DATA_DIR`.
const FALLBACK: &str = "/var/lib/healthcare-backend";

/// Written into a new cluster's `postgresql.conf`. What must hold at any price is given on the command line instead.
const TUNING: &str = "
# Written by healthcare-backend for a small server; yours to change (it is read at a start).
shared_buffers = 32MB
max_wal_size = 256MB
jit = off                             # short statements: compiling them costs more than running them
max_parallel_workers_per_gather = 0   # one or two cores, and many requests to share them
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
";

/// The files of one private PostgreSQL, and the user that its programs run as.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    /// The absolute `DATA_DIR`.
    pub data_dir: PathBuf,
    /// The cluster itself, links resolved.
    pub files: PathBuf,
    pub programs: Programs,
    run_as: Option<Account>,
}

/// A user and group id.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Cluster {
    /// The cluster beneath a `DATA_DIR`, made now if it is not there. Only one process at a time may be in here.
    ///
    /// # Errors
    /// One line: programs missing or of another version, folder not ours or out of reach, `initdb` failed.
    pub fn find_or_make(data_dir: &Path, settings: &Settings) -> Result<Cluster, String> {
        let link = data_dir.join("postgresql");
        let Some(version) = version_of(&link)? else {
            return make(data_dir, &link, settings);
        };
        let files = fs::canonicalize(&link).map_err(|error| cannot("open", &link, &error))?;
        let owner = owner_of(&files)?;
        let me = effective_uid()?;
        let run_as = if me == owner.uid {
            None
        } else if me == 0 {
            Some(owner)
        } else {
            let folder = files.display();
            return Err(format!(
                "{folder} belongs to user id {}, not to this one ({me}): run as that user",
                owner.uid
            ));
        };
        if let Some(blocked) = run_as.and_then(|account| out_of_reach(&files, account)) {
            let folder = blocked.display();
            return Err(format!(
                "PostgreSQL's user cannot enter {folder}: allow it with `chmod o+x {folder}`"
            ));
        }
        let programs = Search::of_this_process().of_major(version)?;
        Ok(Cluster {
            data_dir: data_dir.to_owned(),
            files,
            programs,
            run_as,
        })
    }

    /// One of PostgreSQL's programs, ready to be given its arguments: as the right user, in a process group of its own so
    /// that Ctrl-C does not reach it before the server has drained, and without this process's secrets in its environment.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.bin.join(name));
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0)
            .env_clear();
        for name in [
            "PATH",
            "HOME",
            "LD_LIBRARY_PATH",
            "DYLD_LIBRARY_PATH",
            "LOCALE_ARCHIVE",
            "LOCPATH",
            "TZDIR",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LC_ALL", "C"); // messages in English: some are recognised
        if let Some(account) = self.run_as {
            command.gid(account.gid).uid(account.uid);
        }
        command
    }

    /// The folder for the socket, of mode 0700 and owned by PostgreSQL's user; made now if it is not there.
    ///
    /// It is beneath `DATA_DIR` unless that cannot be: a socket's path may have some 100 bytes only, and commas or blanks
    /// would mean something else in a connection string. Then it is a folder in the runtime or temporary directory whose
    /// short name is derived from `DATA_DIR`'s path.
    ///
    /// # Errors
    /// One line, such as when somebody else owns a folder of that name.
    pub fn socket_folder(&self) -> Result<PathBuf, String> {
        let near = self.files.with_file_name("postgresql.socket");
        let folder = if fits(&near) {
            near
        } else {
            self.short_socket_folder()?
        };
        let account = match self.run_as {
            Some(account) => account,
            None => owner_of(&self.files)?,
        };
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => self.hand_over(&folder)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("make", &folder, &error)),
        }
        // Not followed: in a shared temporary directory anybody can make a link of this name.
        let found =
            fs::symlink_metadata(&folder).map_err(|error| cannot("read", &folder, &error))?;
        if !found.is_dir() || found.uid() != account.uid || found.mode() & 0o077 != 0 {
            let folder = folder.display();
            return Err(format!(
                "{folder} is not a folder that only PostgreSQL's user can enter: remove it"
            ));
        }
        Ok(folder)
    }

    fn short_socket_folder(&self) -> Result<PathBuf, String> {
        let name = format!("healthcare-{}", short_hash(self.files.as_os_str()));
        // Root's runtime directory is closed to the user that PostgreSQL then runs as.
        let runtime = std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|_| self.run_as.is_none())
            .map(PathBuf::from);
        let parents = runtime
            .into_iter()
            .chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
        let mut folders = parents
            .filter(|parent| parent.is_absolute() && parent.is_dir())
            .filter(|parent| self.run_as.is_none_or(|account| can_enter(parent, account)))
            .map(|parent| parent.join(&name));
        folders.find(|folder| fits(folder)).ok_or_else(|| {
            "no folder has a path short enough for PostgreSQL's socket: set DATA_DIR to a shorter path".to_owned()
        })
    }

    /// Gives a file or folder that was just made to PostgreSQL's user.
    fn hand_over(&self, path: &Path) -> Result<(), String> {
        let Some(account) = self.run_as else {
            return Ok(());
        };
        std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid))
            .map_err(|error| cannot("give PostgreSQL's user", path, &error))
    }

    /// Opens the log for appending; the position is where this start's lines will begin.
    pub fn log(&self) -> Result<(File, u64), String> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|found| found.len() > LOG_LIMIT_BYTES) {
            let aside = self.data_dir.join("postgresql.log.old");
            fs::rename(&path, &aside).map_err(|error| cannot("rename", &path, &error))?;
        }
        let mut file = open(&self.data_dir, "postgresql.log")?;
        let end = file
            .seek(SeekFrom::End(0))
            .map_err(|error| cannot("read", &path, &error))?;
        Ok((file, end))
    }

    pub fn log_path(&self) -> PathBuf {
        self.data_dir.join("postgresql.log")
    }

    /// What PostgreSQL wrote since this position, 64 KiB at most.
    pub fn log_since(&self, position: u64) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.log_path())
            && file.seek(SeekFrom::Start(position)).is_ok()
        {
            // A log that cannot be read leaves the message without its last line, which is no reason to fail.
            let _ = file.take(65536).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Runs `initdb` on an empty folder of ours, with the first locale that this system has.
    ///
    /// Text is compared by its bytes (fast, the same everywhere, and `like 'x%'` can use a plain index), but upper and lower
    /// case are Unicode's: a search for "ärzte" must find "Ärzte".
    fn initdb(&self, folder: &Path, settings: &Settings) -> Result<(), String> {
        let libc = |ctype: &str| vec!["--locale=C".to_owned(), format!("--lc-ctype={ctype}")];
        let mut locales = vec![libc("C.UTF-8"), libc("en_US.UTF-8"), libc("UTF-8")];
        if self.programs.major >= 17 {
            // PostgreSQL's own tables, which do not change with the system's libraries.
            let own = [
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            ];
            locales.insert(0, own.map(str::to_owned).to_vec());
        }
        if self.programs.major >= 15 {
            let icu = ["--locale-provider=icu", "--icu-locale=und", "--locale=C"];
            locales.push(icu.map(str::to_owned).to_vec());
        }
        let mut last = String::new();
        for locale in locales {
            let mut command = self.program("initdb");
            command
                .arg("-D")
                .arg(folder)
                .arg(format!("--username={USER}"))
                .args(locale);
            command.args(["--encoding=UTF8", "--data-checksums", "--no-instructions"]);
            // Trust stands behind a folder that nobody else can enter; the network is refused even if somebody opens it.
            command.args(["--auth-local=trust", "--auth-host=reject"]);
            if !settings.fsync {
                command.arg("--no-sync");
            }
            let output = command
                .output()
                .map_err(|error| cannot("run", &self.programs.bin.join("initdb"), &error))?;
            if output.status.success() {
                return Ok(());
            }
            last = last_line(&output);
            if !last.contains("locale") {
                break; // another locale would not help
            }
        }
        Err(format!("initdb failed in {}: {last}", folder.display()))
    }
}

/// Makes `DATA_DIR` where it is missing, and returns its absolute path without links.
///
/// A plain user's is closed to others (0700): the generated secret is there too. Root's can be passed through (0711),
/// because the private PostgreSQL runs as another user; the cluster and the secret have modes of their own.
pub(super) fn make_data_dir(data_dir: &Path) -> Result<PathBuf, String> {
    let missing: Vec<&Path> = data_dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue, // by another server just now
            Err(error) => {
                return Err(format!(
                    "{}; set DATA_DIR to another folder",
                    cannot("make", folder, &error)
                ));
            }
        }
        if owner_of(folder)?.uid == 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
                .map_err(|error| cannot("open up", folder, &error))?;
        }
    }
    fs::canonicalize(data_dir).map_err(|error| cannot("open", data_dir, &error))
}

/// Opens a file of ours in `DATA_DIR`, readable by nobody else, never truncated. What root makes belongs to the folder's
/// owner, who may well start the server as itself the next time.
pub(super) fn open(data_dir: &Path, name: &str) -> Result<File, String> {
    let path = data_dir.join(name);
    let is_new = !path.exists();
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path);
    let file = file.map_err(|error| cannot("open", &path, &error))?;
    if is_new {
        let owner = owner_of(data_dir)?;
        // Fails for a plain user in somebody else's folder, where the file is rightly its own.
        let _ = std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid));
    }
    Ok(file)
}

/// The major version of the cluster in a folder; `None` where there is none yet.
fn version_of(folder: &Path) -> Result<Option<u32>, String> {
    let path = folder.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(format!(
                "{} holds no version that can be run: {:?}",
                path.display(),
                text.trim()
            )),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // An empty folder is as good as none: it may be a volume that was prepared for us.
            let is_empty = fs::read_dir(folder)
                .map(|mut entries| entries.next().is_none())
                .unwrap_or(!folder.is_symlink());
            if is_empty {
                return Ok(None);
            }
            Err(format!(
                "{} is not a PostgreSQL cluster: restore it or move it away",
                folder.display()
            ))
        }
        Err(error) => Err(format!(
            "{}; run as the user that made it",
            cannot("read", &path, &error)
        )),
    }
}

/// Makes a cluster beside its place and moves it there when it is whole: an `initdb` that was interrupted is never in the way.
fn make(data_dir: &Path, link: &Path, settings: &Settings) -> Result<Cluster, String> {
    let programs = Search::of_this_process().newest_first()?;
    remove_leftovers(data_dir);
    let run_as = if effective_uid()? == 0 {
        Some(unprivileged_account()?)
    } else {
        None
    };
    let mut files = link.to_owned();
    if let Some(blocked) = run_as.and_then(|account| out_of_reach(data_dir, account)) {
        // Root's own folder, say. Opening somebody's folders is not ours to do, and failing would leave a newcomer without a
        // server: the files go to where a system keeps such things, with a link in DATA_DIR. The name is new each time, so that
        // data of an earlier DATA_DIR in the same place neither comes back nor is lost.
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let name = format!("{}-{seconds}", short_hash(data_dir.as_os_str()));
        files = make_data_dir(Path::new(FALLBACK))?
            .join(name)
            .join("postgresql");
        log::warn!(
            "PostgreSQL refuses to run as root, and its user cannot enter {}: its files are in {}, linked from {}",
            blocked.display(),
            files.display(),
            link.display(),
        );
    }
    let home = files.parent().unwrap_or(data_dir);
    make_data_dir(home)?;
    let cluster = Cluster {
        data_dir: data_dir.to_owned(),
        files: files.clone(),
        programs,
        run_as,
    };
    let new = home.join(format!("postgresql.new-{}", std::process::id()));
    fill(&cluster, &new, settings)
        .and_then(|()| fs::rename(&new, &files).map_err(|error| cannot("make", &files, &error)))
        .inspect_err(|_| {
            let _ = fs::remove_dir_all(&new); // the next start tries it again
        })?;
    if files != link {
        std::os::unix::fs::symlink(&files, link).map_err(|error| cannot("make", link, &error))?;
    }
    if settings.fsync {
        for folder in [home, data_dir] {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| cannot("write", folder, &error))?;
        }
    }
    Ok(cluster)
}

fn fill(cluster: &Cluster, folder: &Path, settings: &Settings) -> Result<(), String> {
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(|error| cannot("make", folder, &error))?;
    cluster.hand_over(folder)?;
    cluster.initdb(folder, settings)?;
    let path = folder.join("postgresql.conf");
    let written = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(TUNING.as_bytes())?;
            if settings.fsync {
                file.sync_all()
            } else {
                Ok(())
            }
        });
    written.map_err(|error| cannot("write", &path, &error))
}

/// Removes what interrupted starts left. An `initdb` that outlived its killed parent may still be writing there: it fails when
/// its folder goes, and what it adds meanwhile is removed by a later start.
fn remove_leftovers(data_dir: &Path) {
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(b"postgresql.new-")
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// PostgreSQL refuses to run as root. Its packages make the user `postgres`; `nobody` is on every system.
fn unprivileged_account() -> Result<Account, String> {
    let id = |what: &str, name: &str| {
        first_line(Command::new("id").args([what, name]))?
            .parse()
            .ok()
    };
    let account = |name| {
        Some(Account {
            uid: id("-u", name)?,
            gid: id("-g", name)?,
        })
    };
    let found = ["postgres", "nobody"]
        .into_iter()
        .filter_map(account)
        .find(|account| account.uid != 0);
    found.ok_or_else(|| "PostgreSQL refuses to run as root, and there is no user `postgres`: make one, or run as a plain user".to_owned())
}

fn effective_uid() -> Result<u32, String> {
    let said = first_line(Command::new("id").arg("-u")).and_then(|line| line.parse().ok());
    said.ok_or_else(|| {
        "the program `id` does not say which user this is: install it (coreutils)".to_owned()
    })
}

fn owner_of(path: &Path) -> Result<Account, String> {
    let found = fs::metadata(path).map_err(|error| cannot("read", path, &error))?;
    Ok(Account {
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// The outermost folder on the way to this one that the account cannot enter.
fn out_of_reach(folder: &Path, account: Account) -> Option<PathBuf> {
    if can_enter(folder, account) {
        return None;
    }
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    way.into_iter()
        .find(|step| !can_enter(step, account))
        .map(Path::to_owned)
}

/// Tried rather than computed from modes, so that access lists and mounts count too: a child process enters the folder after
/// it has become that user.
fn can_enter(folder: &Path, account: Account) -> bool {
    Command::new("/bin/sh")
        .args(["-c", ":"])
        .current_dir(folder)
        .gid(account.gid)
        .uid(account.uid)
        .status()
        .is_ok()
}

/// Whether a socket in this folder has a path that the system takes and that needs no quoting anywhere.
fn fits(folder: &Path) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte);
    let path = folder.join(format!(".s.PGSQL.{PORT}"));
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= LONGEST_SOCKET_PATH && bytes.iter().all(plain)
}

fn short_hash(text: &OsStr) -> String {
    Sha256::digest(text.as_encoded_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    // "initdb: error: …" says more than the "removing contents of …" after it.
    let error = text
        .lines()
        .find(|line| line.contains("error:") || line.contains("FATAL"));
    error
        .or(text.lines().last())
        .unwrap_or("it gave no reason")
        .trim()
        .to_owned()
}

/// The line for an operation that the system refused.
pub(super) fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {verb} {}: {error}", path.display())
}
