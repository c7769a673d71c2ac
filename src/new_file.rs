//! A file that gets its name only when it is complete, and that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is still being written, as `NAME.part`. Dropping it removes it, unless it was kept.
pub struct NewFile {
    /// Open for writing.
    pub file: File,
    /// Where it is until it is complete.
    pub part: PathBuf,
    name: PathBuf,
}

impl NewFile {
    /// An empty one. A file that has the name already is refused.
    pub fn create(name: &Path) -> Result<NewFile, String> {
        if name.exists() {
            return Err(format!("{} exists already: name a new file", name.display()));
        }
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // A file of another's, or a link to one, would keep its own mode.
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{} is there: another command writes it now, or was killed; then remove it", part.display())
            }
            _ => unwritable(name, &error),
        })?;
        Ok(NewFile { file, part, name: name.to_path_buf() })
    }

    /// Gives it its name, when it is on the disk.
    pub fn keep(self) -> Result<(), String> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.part, &self.name));
        kept.map_err(|error| unwritable(&self.name, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.part)
            && error.kind() != ErrorKind::NotFound
        {
            log::warn!(target: "files", "{} holds records and cannot be removed: {error}; remove it", self.part.display());
        }
    }
}

/// Why a file was not written.
pub fn unwritable(name: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", name.display())
}
