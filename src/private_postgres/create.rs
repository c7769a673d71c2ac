//! Makes the private PostgreSQL's files on the first start. A start that is interrupted leaves nothing in the way of the next one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::account::{effective_uid, out_of_reach, unprivileged_account};
use super::cluster::{Cluster, make_data_dir, short_hash};
use super::programs::Search;
use super::settings::{Settings, USER};
use super::system::{cannot, complaint};

/// Where root's clusters go when PostgreSQL's user cannot enter `DATA_DIR`.
const FALLBACK: &str = "/var/lib/healthcare-backend";

/// Written into a new cluster's `postgresql.conf`. Settings that must hold in any case are given on the command line instead.
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

/// The cluster beneath a `DATA_DIR`, made now if it is not there. Only one process at a time may be in here.
pub(super) fn find_or_make(data_dir: &Path, settings: &Settings) -> Result<Cluster, String> {
    Cluster::find(data_dir)?.map_or_else(|| make(data_dir, settings), Ok)
}

/// Makes a cluster beside its place, and moves it there when it is complete.
fn make(data_dir: &Path, settings: &Settings) -> Result<Cluster, String> {
    let link = data_dir.join("postgresql");
    let programs = Search::of_this_process().best()?;
    remove_leftovers(data_dir);
    let run_as = if effective_uid()? == 0 { Some(unprivileged_account()?) } else { None };
    let mut files = link.clone();
    if let Some(blocked) = run_as.and_then(|account| out_of_reach(data_dir, account)) {
        // Root's home, for example. We must not open somebody's folders, and an error would leave a newcomer without a server. So
        // the files go to where systems keep such files, and DATA_DIR gets a link. The name is new each time, so that the data of
        // an earlier DATA_DIR in the same place neither comes back nor is lost.
        let name = format!("{}-{}", short_hash(data_dir.as_os_str()), jiff::Timestamp::now().as_second());
        files = make_data_dir(Path::new(FALLBACK))?.join(name).join("postgresql");
        log::warn!(
            "PostgreSQL refuses to run as root, and its user cannot enter {}: its files are in {}, linked from {}",
            blocked.display(),
            files.display(),
            link.display(),
        );
    }
    let home = files.parent().unwrap_or(data_dir);
    make_data_dir(home)?;
    let cluster = Cluster { data_dir: data_dir.to_owned(), files: files.clone(), programs, run_as };
    let new = home.join(format!("postgresql.new-{}", std::process::id()));
    log::info!("creating the private PostgreSQL in {}", data_dir.display());
    fill(&cluster, &new, settings)
        .and_then(|()| fs::rename(&new, &files).map_err(|error| cannot("make", &files, &error)))
        .inspect_err(|_| {
            let _ = fs::remove_dir_all(&new); // the next start tries it again
        })?;
    if files != link {
        std::os::unix::fs::symlink(&files, &link).map_err(|error| cannot("make", &link, &error))?;
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
    DirBuilder::new().mode(0o700).create(folder).map_err(|error| cannot("make", folder, &error))?;
    cluster.hand_over(folder)?;
    initdb(cluster, folder, settings)?;
    let path = folder.join("postgresql.conf");
    let written = OpenOptions::new().append(true).open(&path).and_then(|mut file| {
        file.write_all(TUNING.as_bytes())?;
        if settings.fsync { file.sync_all() } else { Ok(()) }
    });
    written.map_err(|error| cannot("write", &path, &error))
}

/// Removes the folders of interrupted starts. An `initdb` that outlived its killed parent may still write there: it fails when its
/// folder is gone, and a later start removes what it added.
fn remove_leftovers(data_dir: &Path) {
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"postgresql.new-")
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            log::warn!("the folder of an interrupted start stays: {}", cannot("remove", &entry.path(), &error));
        }
    }
}

/// Runs `initdb` on an empty folder of ours, with the first locale that this system has.
///
/// Text is compared by its bytes (fast, the same everywhere, and `like 'x%'` can use a plain index), but upper and lower
/// case are Unicode's: a search for "ärzte" must find "Ärzte".
fn initdb(cluster: &Cluster, folder: &Path, settings: &Settings) -> Result<(), String> {
    let libc = |ctype: &str| vec!["--locale=C".to_owned(), format!("--lc-ctype={ctype}")];
    let mut locales = vec![libc("C.UTF-8"), libc("en_US.UTF-8"), libc("UTF-8")];
    if cluster.programs.major >= 17 {
        // PostgreSQL's own tables, which do not change with the system's libraries.
        let own = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"];
        locales.insert(0, own.map(str::to_owned).to_vec());
    }
    if cluster.programs.major >= 15 {
        let icu = ["--locale-provider=icu", "--icu-locale=und", "--locale=C"];
        locales.push(icu.map(str::to_owned).to_vec());
    }
    let mut last = String::new();
    for locale in locales {
        let mut command = cluster.program("initdb");
        command.arg("-D").arg(folder).arg(format!("--username={USER}")).args(locale);
        command.args(["--encoding=UTF8", "--data-checksums", "--no-instructions"]);
        // Trust stands behind a folder that nobody else can enter; the network is refused even if somebody opens it.
        command.args(["--auth-local=trust", "--auth-host=reject"]);
        if !settings.fsync {
            command.arg("--no-sync");
        }
        let output = command.output().map_err(|error| cannot("run", &cluster.programs.bin.join("initdb"), &error))?;
        if output.status.success() {
            return Ok(());
        }
        last = complaint(&output);
        if !last.contains("locale") {
            break; // another locale would not help
        }
    }
    if last.contains("user does not exist") {
        last += ": run as a user that has a line in /etc/passwd"; // a container's user may be a bare number
    }
    Err(format!("initdb failed in {}: {last}", folder.display()))
}
