//! The secret that signs access tokens if the operator sets none: generated at the first start and kept in `DATA_DIR`.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::tokens::random_hex;
use crate::config::Config;
use crate::private_postgres::make_data_dir;

/// Its file in `DATA_DIR`, readable by its owner only.
const FILE: &str = "jwt_secret";
/// The shortest valid secret. If the file has less, it was emptied or cut.
const SHORTEST: usize = 32;

/// The operator's secret, or the kept one.
pub fn of(config: &Config) -> Result<String, String> {
    config.jwt_secret.clone().map_or_else(|| kept(&config.data_dir), Ok)
}

/// Reads the secret, or generates one if there is none. Replacing a damaged one is logged, because it ends all sessions.
pub fn kept(data_dir: &Path) -> Result<String, String> {
    if let Some(secret) = look(data_dir)? {
        return Ok(secret);
    }
    let path = make_data_dir(data_dir)?.join(FILE);
    let problem = |error| cannot_use(&path, &error);
    let is_new = !path.exists();
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(problem)?;
    // If two first starts happen at once, the second waits here and takes the secret of the first.
    file.lock().map_err(problem)?;
    if let Some(secret) = read(&mut file).map_err(problem)? {
        return Ok(secret);
    }
    let secret = random_hex::<32>()?;
    write(&mut file, &secret).map_err(problem)?;
    if !is_new {
        log::warn!(
            target: "auth",
            "{} held no secret and got a new one: everybody has to log in again; to keep the sessions, restore the file and restart",
            path.display()
        );
    }
    Ok(secret)
}

/// The secret, if there is one.
pub fn look(data_dir: &Path) -> Result<Option<String>, String> {
    let path = data_dir.join(FILE);
    match File::open(&path).and_then(|mut file| read(&mut file)) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_use(&path, &error)),
    }
}

fn read(file: &mut File) -> Result<Option<String>, Error> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Some(text.trim().to_string()).filter(|secret| secret.len() >= SHORTEST))
}

fn write(file: &mut File, secret: &str) -> Result<(), Error> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()
}

fn cannot_use(path: &Path, error: &Error) -> String {
    format!(
        "{} cannot be used: {error}; run as its owner, or set JWT_SECRET to the secret that it held",
        path.display()
    )
}
