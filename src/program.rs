//! The program: its commands, and what each runs. Command line → configuration → run.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::command_line::{self, Argument, Asked, Command, Kind};
use crate::config::{Config, environment};
use crate::database::Database;
use crate::service::Service;
use crate::{allocator, backup, commands, logging, openapi, systemd};

/// Every command. The first one runs if the command line names none.
const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        takes: &[],
        about: "serve until SIGTERM or Ctrl-C",
        more: "\
It waits until the database can be reached, brings the schema up to date, listens on HOST and PORT, and prints the address on standard
output. Without DATABASE_URL it starts a private PostgreSQL in DATA_DIR and stops it when it exits. On SIGTERM, requests in flight have
10 s to finish.",
        run: |_| serve(),
    },
    Command {
        name: "migrate",
        takes: &[],
        about: "bring the schema up to date",
        more: "serve does the same at its start. Use this command if serve connects as a role that may not change the schema.",
        run: |_| with_database(commands::migrate),
    },
    Command {
        name: "create-admin",
        takes: &[EMAIL, NAME],
        about: "create an admin; asks for the password, or reads it as one line from standard input",
        more: "It can be used while serve is running.",
        run: |given| {
            with_database(|config, database| {
                commands::create_admin(config, database, given.text("--email"), given.text("--name"), read_password()?)
            })
        },
    },
    Command {
        name: "set-role",
        takes: &[EMAIL, ROLE],
        about: "make a user an admin, or an admin a user",
        more: "The last enabled admin cannot be made a user. It can be used while serve is running, and takes effect with the user's next request.",
        run: |given| {
            with_database(|config, database| {
                commands::set_role(config, database, given.text("--email"), given.text("--role"))
            })
        },
    },
    Command {
        name: "set-password",
        takes: &[EMAIL],
        about: "set a user's password, read like that of create-admin; ends all sessions",
        more: "\
For an account whose password is forgotten, even the last admin's. It unlocks the account and ends its one-time tokens. A disabled
account stays disabled. It can be used while serve is running.",
        run: |given| {
            with_database(|config, database| {
                commands::set_password(config, database, given.text("--email"), read_password()?)
            })
        },
    },
    Command {
        name: "remove-totp",
        takes: &[EMAIL],
        about: "take a user's second factor away, for a lost phone; ends all sessions",
        more: "For an account that no admin can help. It can be used while serve is running.",
        run: |given| with_database(|config, database| commands::remove_totp(config, database, given.text("--email"))),
    },
    Command {
        name: "check",
        takes: &[],
        about: "check everything that serve needs, and change nothing",
        more: "It checks the configuration, that HOST and PORT are free, the SQL files and the database, and lists the migrations that serve would apply.",
        run: |_| with_database(commands::check),
    },
    Command {
        name: "backup",
        takes: &[FILE],
        about: "write the private PostgreSQL's data to a new file; serve may be running",
        more: "\
The file is one consistent snapshot in pg_dump's custom format. It gets its name only after it was read back, and only its owner can read
it. If DATABASE_URL is set, use pg_dump instead.",
        run: |given| with_database(|_, database| backup::backup(database, given.file("FILE"))),
    },
    Command {
        name: "restore",
        takes: &[FILE],
        about: "load a backup into a private PostgreSQL that has no records yet",
        more: "It restores everything or nothing. Stop serve first.",
        run: |given| with_database(|config, database| backup::restore(config, database, given.file("FILE"))),
    },
    Command {
        name: "openapi",
        takes: &[],
        about: "print the OpenAPI document",
        more: "The document shows the limits of the current configuration. It needs no database.",
        run: |_| print(&(openapi::document(&configure()?)? + "\n")),
    },
    Command {
        name: "help",
        takes: &[],
        about: "list the commands, and the variables with their defaults",
        more: "",
        run: |_| print(&command_line::help(COMMANDS)),
    },
    Command {
        name: "version",
        takes: &[],
        about: "print the version",
        more: "",
        run: |_| print(concat!("healthcare-backend ", env!("CARGO_PKG_VERSION"), "\n")),
    },
];

const EMAIL: Argument = Argument {
    name: "--email",
    about: "the e-mail address of the account",
    kind: Kind::Option("ADDRESS", commands::email),
};
const NAME: Argument =
    Argument { name: "--name", about: "the person's name", kind: Kind::Option("NAME", commands::name) };
const ROLE: Argument = Argument { name: "--role", about: "user or admin", kind: Kind::Option("ROLE", commands::role) };
const FILE: Argument = Argument { name: "FILE", about: "the file's name", kind: Kind::File };

/// The program `healthcare-backend`, with these arguments (without its name). It reads the environment and `.env`, and writes to
/// standard output and standard error.
///
/// # Returns
/// Exit code 0, 1 with a line for each problem that says what to do, or 2 if the command line is wrong.
///
/// ```no_run
/// healthcare_backend::run(vec!["create-admin".into(), "--help".into()]);
/// ```
pub fn run(words: Vec<OsString>) -> ExitCode {
    let lines = LastLines;
    let (done, code) = match command_line::read(COMMANDS, &words) {
        Ok(Asked::Run(command, given)) => ((command.run)(&given), 1),
        Ok(Asked::Help(text)) => (print(&text), 1),
        Err(problem) => (Err(problem), 2),
    };
    drop(lines);
    let Err(problems) = done else { return ExitCode::SUCCESS };
    let mut out = std::io::stderr().lock();
    for problem in problems.lines() {
        let _ = writeln!(out, "healthcare-backend: {problem}");
    }
    ExitCode::from(code)
}

/// Writes the log lines that have gathered when the program ends, even by a panic.
struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        logging::write_gathered();
    }
}

/// Reads the environment and starts the log. Misspelt names are reported even if other values are wrong: they may be the reason.
fn configure() -> Result<Config, String> {
    let variables = environment::read()?;
    let misspelt = environment::misspelt(&variables);
    let config = Config::from_variables(&variables);
    let config = config.map_err(|problems| [problems, misspelt.clone()].concat().join("\n"))?;
    logging::init(&config);
    for warning in misspelt {
        log::warn!(target: "config", "{warning}");
    }
    Ok(config)
}

fn serve() -> Result<(), String> {
    let unsettled = allocator::settle();
    let config = configure()?;
    if let Some(error) = unsettled {
        log::warn!(target: "server", "memory may not go back to the system after a flood: no new start with settings for glibc: {error}");
    }
    let unhandled = |error| format!("signals cannot be handled: {error}");
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register(signal, Arc::clone(&stopping)).map_err(unhandled)?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(unhandled)?;
    log::info!(target: "server", "starting: {}", config.summary());
    let Some(service) = Service::start_patiently(config, &stopping)? else { return Ok(()) };
    print(&format!("listening on http://{}\n", service.address()))?;
    systemd::tell("READY=1");
    signals.forever().next();
    log::info!(target: "server", "stopping");
    systemd::tell("STOPPING=1");
    service.stop()
}

/// Opens the database and starts the private PostgreSQL if necessary. Stops it afterwards only if it was not running before.
fn with_database(work: impl FnOnce(&Config, &Database) -> Result<String, String>) -> Result<(), String> {
    let config = configure()?;
    let mut database = Database::open(&config)?;
    let result = work(&config, &database);
    if let Some(private) = database.private.take() {
        if private.was_running() { private.leave_running() } else { private.stop()? }
    }
    print(&(result? + "\n"))
}

/// Reads one line from standard input; at a terminal, asks for it first.
fn read_password() -> Result<String, String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return rpassword::prompt_password("Password: ")
            .map_err(|error| format!("the password cannot be read: {error}"));
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| format!("the password cannot be read: {error}"))?;
    Ok(line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_string())
}

/// Prints to standard output, after the log lines that came before.
fn print(text: &str) -> Result<(), String> {
    logging::write_gathered();
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))
}
