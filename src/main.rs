//! Command line → configuration → run. Exit code 0, 1 with one line that says what is wrong and what to do, or 2 for a wrong
//! command line.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use healthcare_backend::command_line::{self, Argument, Asked, Command, Kind};
use healthcare_backend::config::environment;
use healthcare_backend::database::Database;
use healthcare_backend::{Config, Service, backup, commands, logging, openapi, systemd};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Every command. The first is what a command line without one means.
const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        takes: &[],
        about: "serve until SIGTERM or Ctrl-C",
        more: "\
It waits for a database that is not there yet, brings the schema up to date, listens at HOST and PORT, and says where in a line on
standard output. Without DATABASE_URL it starts a private PostgreSQL beneath DATA_DIR and stops it with itself. On SIGTERM, requests in
flight have 10 s to finish.",
        run: |_| serve(),
    },
    Command {
        name: "migrate",
        takes: &[],
        about: "bring the schema up to date",
        more: "As serve does, for those who let it run with a role that may not change the schema.",
        run: |_| with_database(commands::migrate),
    },
    Command {
        name: "create-admin",
        takes: &[EMAIL, NAME],
        about: "make an admin; the password is asked for, or one line of standard input",
        more: "It may be run while serve runs.",
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
        more: "One enabled admin always remains. It may be run while serve runs, which heeds it from the next request on.",
        run: |given| {
            with_database(|config, database| {
                commands::set_role(config, database, given.text("--email"), given.text("--role"))
            })
        },
    },
    Command {
        name: "check",
        takes: &[],
        about: "say what serve would do, and change nothing",
        more: "It checks the configuration, that HOST and PORT are free, the SQL files, the database, and which migrations it lacks.",
        run: |_| with_database(commands::check),
    },
    Command {
        name: "backup",
        takes: &[FILE],
        about: "write the private PostgreSQL's data to a new file, while serve runs or not",
        more: "\
One snapshot, read back before the file gets its name, and readable by its owner only. It is pg_dump's custom format. With DATABASE_URL,
run pg_dump yourself.",
        run: |given| with_database(|_, database| backup::backup(database, given.file("FILE"))),
    },
    Command {
        name: "restore",
        takes: &[FILE],
        about: "read such a file into a private PostgreSQL that holds no records yet",
        more: "All of it or nothing. Stop serve first.",
        run: |given| with_database(|config, database| backup::restore(config, database, given.file("FILE"))),
    },
    Command {
        name: "openapi",
        takes: &[],
        about: "print the OpenAPI document",
        more: "With the limits that the configuration sets; it needs no database.",
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

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (problems, code) = match command_line::read(COMMANDS, &words) {
        Ok(asked) => match obey(&asked) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(problems) => (problems, 1),
        },
        Err(problem) => (problem, 2),
    };
    let mut out = std::io::stderr().lock();
    for problem in problems.lines() {
        let _ = writeln!(out, "healthcare-backend: {problem}");
    }
    ExitCode::from(code)
}

fn obey(asked: &Asked) -> Result<(), String> {
    match asked {
        Asked::Run(command, given) => (command.run)(given),
        Asked::Help(text) => print(text),
    }
}

/// Reads the environment and starts the log. A misspelt name is said in any case: it may be why the rest is wrong.
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
    let config = configure()?;
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

/// Opens the database, the private PostgreSQL if need be, and leaves it as it was found.
fn with_database(work: impl FnOnce(&Config, &Database) -> Result<String, String>) -> Result<(), String> {
    let config = configure()?;
    let mut database = Database::open(&config)?;
    let result = work(&config, &database);
    if let Some(private) = database.private.take() {
        if private.was_running() { private.leave_running() } else { private.stop()? }
    }
    print(&(result? + "\n"))
}

/// One line of standard input; at a terminal it is asked for.
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

fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))
}
