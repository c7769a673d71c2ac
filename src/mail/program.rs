//! Hands a message to the program that `SENDMAIL` names: on standard input, with `-t -i`, no shell, and next to no environment.

use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often to look whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The longest message. A pipe holds this many bytes, so writing never waits for a program that does not read.
const MESSAGE_MAX: usize = 8 * 1024;
/// The variables that the program gets, if they are set. It gets no secret of ours.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Runs the program and waits for its end. What it prints is thrown away, as it may name the recipient.
///
/// # Errors
/// A text for the log, without the message, if it cannot be started, fails, or does not end in time; it is then killed.
pub fn run(command: &str, message: &[u8], patience: Duration) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    if message.len() > MESSAGE_MAX {
        return Err(format!("a message has {} bytes; {MESSAGE_MAX} are allowed", message.len()));
    }
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(["-t", "-i"]).env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // In a process group of its own, it can be killed together with what it has started.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| format!("SENDMAIL cannot be run: {error}"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(message));
    let Some(status) = wait(&mut child, deadline) else {
        kill(&mut child);
        return Err(format!("SENDMAIL did not end within {} s and was killed", patience.as_secs()));
    };
    if !status.success() {
        return Err(format!("SENDMAIL ended with {status}; run it by hand to see what it says"));
    }
    match written {
        // It may know all that it needs without reading to the end.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("SENDMAIL takes no message: {error}")),
        _ => Ok(()),
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Err(_) => return None,
            Ok(None) if Instant::now() >= deadline => return None,
            Ok(None) => thread::park_timeout(LOOK_EVERY),
        }
    }
}

fn kill(child: &mut Child) {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(child), rustix::process::Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}
