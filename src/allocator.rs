//! Settings for the allocator of glibc, so that memory goes back to the system after a flood.
//!
//! By default glibc keeps an arena for each thread. Once a buffer of some megabytes has been freed, it puts all buffers up to that length
//! into the arenas, which give back little: after floods of bodies and long answers the process kept 60 MiB more than before. With
//! these settings a buffer of 128 KiB or more is mapped on its own, and goes back to the system when it is freed.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// mallopt(3), "Environment variables". The second one also fixes the length from which a buffer is mapped on its own.
const SETTINGS: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "2"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Starts the program again, as the same process, with the settings: glibc reads them only when a program starts. If one of
/// them is set already, or with another C library, it does nothing. If it fails, it returns why, and the program goes on with glibc's
/// defaults.
pub fn settle() -> Option<std::io::Error> {
    if !cfg!(target_env = "gnu") || SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return None;
    }
    let mut words = std::env::args_os();
    let name = words.next()?;
    match std::env::current_exe() {
        Ok(program) => Some(Command::new(program).arg0(name).args(words).envs(SETTINGS).exec()),
        Err(error) => Some(error),
    }
}
