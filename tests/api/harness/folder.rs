//! A folder that is removed when its test ends, on a short path that PostgreSQL's user can reach, whichever user runs the tests.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// An empty folder of the test's own.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub fn new() -> Folder {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/tmp/healthcare-folder-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    /// A copy of the project's `sql/`: what `SQL_DIR` points at.
    pub fn with_sql() -> Folder {
        let folder = Folder::new();
        let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        for source in [sql.clone(), sql.join("migrations")] {
            let target = folder.0.join(source.strip_prefix(&sql).expect("beneath sql/"));
            std::fs::create_dir_all(&target).expect("a folder");
            for entry in std::fs::read_dir(source).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if entry.is_file() {
                    std::fs::copy(&entry, target.join(entry.file_name().expect("a name"))).expect("a copy");
                }
            }
        }
        folder
    }

    /// Replaces a text that a file of it has.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.0.join(file)).expect("a file");
        assert!(text.contains(from), "{file} has no {from:?} to replace");
        self.write(file, &text.replace(from, to));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
