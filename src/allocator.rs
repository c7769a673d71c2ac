//! Settings for the allocator of glibc, so that memory goes back to the system after a flood.
//!
//! By default glibc keeps up to eight arenas for each core. Once a buffer of some megabytes has been freed, it puts all buffers up to that
//! length into the arenas, which give back little: after floods of bodies and long answers the process kept 60 MiB more than before. With
//! these settings a buffer of 128 KiB or more is mapped on its own, and goes back to the system when it is freed.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// mallopt(3), "Environment variables". Two arenas for each core: threads that run at the same time hardly ever wait for the lock of the
/// same one. The second setting also fixes the length from which a buffer is mapped on its own.
fn settings() -> [(&'static str, String); 2] {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    [("MALLOC_ARENA_MAX", (2 * cores).to_string()), ("MALLOC_TRIM_THRESHOLD_", (128 * 1024).to_string())]
}

/// Starts the program again, as the same process, with the settings: glibc reads them only when a program starts. If one of
/// them is set already, or with another C library, it does nothing. If it fails, it returns why, and the program goes on with glibc's
/// defaults.
pub fn settle() -> Option<std::io::Error> {
    let settings = settings();
    if !cfg!(target_env = "gnu") || settings.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return None;
    }
    let mut words = std::env::args_os();
    let name = words.next()?;
    match std::env::current_exe() {
        Ok(program) => Some(Command::new(program).arg0(name).args(words).envs(settings).exec()),
        Err(error) => Some(error),
    }
}
