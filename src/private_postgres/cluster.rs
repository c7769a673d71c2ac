//! The files of the private PostgreSQL: where they are, and how its programs are run on them.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::account::{Account, can_enter, effective_uid, out_of_reach, owner_of};
use super::programs::{Programs, Search};
use super::system::cannot;

/// The port only names the socket file here: nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// The longest socket path that every system takes (Linux 107 bytes, macOS 103).
const LONGEST_SOCKET_PATH: usize = 103;

/// A log longer than this at a start is put aside as `postgresql.log.old`.
const LOG_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// The files of one private PostgreSQL, and the user that its programs run as.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    /// The absolute `DATA_DIR`.
    pub data_dir: PathBuf,
    /// The cluster itself, links resolved.
    pub files: PathBuf,
    pub programs: Programs,
    /// The user to become, if this process is root's.
    pub run_as: Option<Account>,
}

impl Cluster {
    /// The cluster beneath a `DATA_DIR`, if it is there.
    pub fn find(data_dir: &Path) -> Result<Option<Cluster>, String> {
        let link = data_dir.join("postgresql");
        let Some(version) = version_of(&link)? else { return Ok(None) };
        let files = fs::canonicalize(&link).map_err(|error| cannot("open", &link, &error))?;
        let owner = owner_of(&files)?;
        let me = effective_uid()?;
        let run_as = if me == owner.uid {
            None
        } else if me == 0 {
            Some(owner)
        } else {
            let folder = files.display();
            return Err(format!("{folder} belongs to user id {}, not to this one ({me}): run as that user", owner.uid));
        };
        if let Some(blocked) = run_as.and_then(|account| out_of_reach(&files, account)) {
            let folder = blocked.display();
            return Err(format!("PostgreSQL's user cannot enter {folder}: allow it with `chmod o+x {folder}`"));
        }
        let programs = Search::of_this_process().of_major(version)?;
        Ok(Some(Cluster { data_dir: data_dir.to_owned(), files, programs, run_as }))
    }

    /// One of PostgreSQL's programs, ready to be given its arguments: as the right user, in a process group of its own so
    /// that Ctrl-C does not reach it before the server has drained, and without this process's secrets in its environment.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.bin.join(name));
        command.current_dir("/").stdin(Stdio::null()).process_group(0).env_clear();
        for name in ["PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LOCALE_ARCHIVE", "LOCPATH", "TZDIR"] {
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
    /// It is beneath `DATA_DIR` if possible. But the path of a socket has about 100 bytes at most, and commas and blanks mean
    /// something else in a connection string. Otherwise it is a folder in the runtime or temporary directory, whose short name is
    /// derived from the path of `DATA_DIR`.
    pub fn socket_folder(&self) -> Result<PathBuf, String> {
        let near = self.files.with_file_name("postgresql.socket");
        let folder = if fits(&near) { near } else { self.short_socket_folder()? };
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
        let found = fs::symlink_metadata(&folder).map_err(|error| cannot("read", &folder, &error))?;
        if !found.is_dir() || found.uid() != account.uid || found.mode() & 0o077 != 0 {
            let folder = folder.display();
            return Err(format!("{folder} is not a folder that only PostgreSQL's user can enter: remove it"));
        }
        Ok(folder)
    }

    fn short_socket_folder(&self) -> Result<PathBuf, String> {
        let name = format!("healthcare-{}", short_hash(self.files.as_os_str()));
        // Root's runtime directory is closed to the user that PostgreSQL then runs as.
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| self.run_as.is_none()).map(PathBuf::from);
        let parents = runtime.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
        let mut folders = parents
            .filter(|parent| parent.is_absolute() && parent.is_dir())
            .filter(|parent| self.run_as.is_none_or(|account| can_enter(parent, account)))
            .map(|parent| parent.join(&name));
        folders.find(|folder| fits(folder)).ok_or_else(|| {
            "no folder has a path short enough for PostgreSQL's socket: set DATA_DIR to a shorter path".to_owned()
        })
    }

    /// Gives a file or folder that was just made to PostgreSQL's user.
    pub fn hand_over(&self, path: &Path) -> Result<(), String> {
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
        let end = file.seek(SeekFrom::End(0)).map_err(|error| cannot("read", &path, &error))?;
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
}

/// Creates `DATA_DIR` if it is missing, and returns its absolute path without links.
///
/// A plain user's is closed to others (0700): the generated secret is there too. Root's can be passed through (0711),
/// because the private PostgreSQL runs as another user; the cluster and the secret have modes of their own.
pub fn make_data_dir(data_dir: &Path) -> Result<PathBuf, String> {
    let missing: Vec<&Path> =
        data_dir.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue, // by another server just now
            Err(error) => {
                return Err(format!("{}; set DATA_DIR to another folder", cannot("make", folder, &error)));
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
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
    let file = file.map_err(|error| cannot("open", &path, &error))?;
    if is_new {
        let owner = owner_of(data_dir)?;
        // Fails for a plain user in somebody else's folder, where the file is rightly its own.
        let _ = std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid));
    }
    Ok(file)
}

/// The major version of the cluster in a folder; `None` if there is no cluster yet.
fn version_of(folder: &Path) -> Result<Option<u32>, String> {
    let path = folder.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(format!("{} holds no version that can be run: {:?}", path.display(), text.trim())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // An empty folder is as good as none: it may be a volume that was prepared for us.
            let is_empty =
                fs::read_dir(folder).map(|mut entries| entries.next().is_none()).unwrap_or(!folder.is_symlink());
            if is_empty {
                return Ok(None);
            }
            Err(format!("{} is not a PostgreSQL cluster: restore it or move it away", folder.display()))
        }
        Err(error) => Err(format!("{}; run as the user that made it", cannot("read", &path, &error))),
    }
}

/// Whether a socket in this folder has a path that the system takes and that needs no quoting anywhere.
fn fits(folder: &Path) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte);
    let path = socket_in(folder);
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= LONGEST_SOCKET_PATH && bytes.iter().all(plain)
}

/// The socket's path in its folder.
pub(super) fn socket_in(folder: impl AsRef<Path>) -> PathBuf {
    folder.as_ref().join(format!(".s.PGSQL.{PORT}"))
}

/// A name for something that belongs to a path: 16 hexadecimal digits.
pub(super) fn short_hash(text: &OsStr) -> String {
    Sha256::digest(text.as_encoded_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
