//! The program: its commands, and what each runs. Command line → configuration → run.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::command_line::{self, Argument, Asked, Command, Given, Kind, Rule, Times};
use crate::config::{Config, environment};
use crate::database::Database;
use crate::service::Service;
use crate::spreadsheets::{self, import};
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
        name: "import",
        takes: &[SHEET, OWNER, FILE, MAP, DRY_RUN, ALLOW_DUPLICATES],
        about: "make records of a CSV file's lines, or none if one is wrong",
        more: "\
The first line of the file has the names of the fields, or --map says which field a column is: --map 'Date of birth=date_of_birth'. A
column without a field is left out with --map 'Remarks='. Columns that the server sets (id, created_at, ...) are ignored. The file is UTF-8;
its cells are separated by commas, semicolons or tabs. FILE - is standard input.

Each line must follow the rules of the API. Lines that do not are listed on standard error, and nothing is imported. A possible duplicate
is skipped and listed: a patient of the owner with the same name and date of birth, a doctor with the same license_number or, for a line
without one, the same name and specialization. One ' is taken from a cell that begins with one or more of them and then =, +, -, @, a
tab or a carriage return, because export puts one there. It can be used while serve is running.",
        run: |given| {
            let order = import::Order {
                owner: given.text("--owner"),
                file: given.file("FILE"),
                mappings: &given.texts("--map"),
                is_rehearsal: given.has("--dry-run"),
                allow_duplicates: given.has("--allow-duplicates"),
            };
            with_database(|config, database| {
                import::import(config, database, spreadsheets::sheet(given.text("patients|doctors")), &order)
            })
        },
    },
    Command {
        name: "export",
        takes: &[SHEET, OPTIONAL_OWNER, FILE],
        about: "write all patients or doctors, or one user's, to a new CSV file",
        more: "\
The file has every field and is read back by import. Only its owner can read it. A cell that a spreadsheet would run as a formula
begins with a '. FILE - is standard output. It can be used while serve is running.",
        run: |given| export(given),
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
        takes: &[VERSION],
        about: "print the OpenAPI document",
        more: "\
The document is in OpenAPI 3.1, as it is served, or in 3.0 for a program that reads no later version. It shows the limits of the current
configuration. It needs no database.",
        run: |given| {
            let config = configure()?;
            let document = match given.optional_text("--version") {
                Some("3.0") => openapi::document_in_3_0(&config),
                _ => openapi::document(&config),
            };
            print(&(document? + "\n"))
        },
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

const VERSION: Argument = Argument {
    times: Times::AtMostOnce,
    ..option("--version", "VERSION", "the version of OpenAPI, 3.1 or 3.0", |text| match text {
        "3.0" | "3.1" => Ok(text.into()),
        _ => Err("must be 3.1 or 3.0".into()),
    })
};
const EMAIL: Argument = option("--email", "ADDRESS", "the e-mail address of the account", commands::email);
const NAME: Argument = option("--name", "NAME", "the person's name", commands::name);
const ROLE: Argument = option("--role", "ROLE", "user or admin", commands::role);
const FILE: Argument = Argument { name: "FILE", about: "the file's name", kind: Kind::File, times: Times::Once };
const SHEET: Argument = Argument {
    name: "patients|doctors",
    about: "what each line is",
    kind: Kind::Word(spreadsheets::WORDS),
    times: Times::Once,
};
const OWNER: Argument =
    option("--owner", "ADDRESS", "the e-mail address of the user to whom the records belong", commands::email);
const OPTIONAL_OWNER: Argument = Argument { times: Times::AtMostOnce, ..OWNER };
const MAP: Argument = Argument {
    times: Times::AnyNumber,
    ..option("--map", "HEADER=FIELD", "which field a column is", commands::mapping)
};
const DRY_RUN: Argument = flag("--dry-run", "say what would be imported, and write nothing");
const ALLOW_DUPLICATES: Argument = flag("--allow-duplicates", "import possible duplicates as well");

/// An option that must be given, with the placeholder of its value in the help and the rule for it.
const fn option(name: &'static str, value: &'static str, about: &'static str, rule: Rule) -> Argument {
    Argument { name, about, kind: Kind::Option(value, rule), times: Times::Once }
}

const fn flag(name: &'static str, about: &'static str) -> Argument {
    Argument { name, about, kind: Kind::Flag, times: Times::AtMostOnce }
}

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
    let stopping = stopping_on_signals()?;
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

/// `export`: a signal ends it after it has removed what it wrote. In a stream, that is left to the system.
fn export(given: &Given) -> Result<(), String> {
    let (sheet, file) = (spreadsheets::sheet(given.text("patients|doctors")), given.file("FILE"));
    let is_stream = spreadsheets::is_stream(file);
    let stopping = if is_stream { Arc::default() } else { stopping_on_signals()? };
    let told = on_database(|config, database| {
        spreadsheets::export::export(config, database, sheet, given.optional_text("--owner"), file, &stopping)
    })?;
    if !is_stream {
        return print(&(told + "\n"));
    }
    let _ = writeln!(std::io::stderr().lock(), "{told}");
    Ok(())
}

/// A flag that SIGTERM and Ctrl-C set from now on.
fn stopping_on_signals() -> Result<Arc<AtomicBool>, String> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register(signal, Arc::clone(&stopping)).map_err(unhandled)?;
    }
    Ok(stopping)
}

fn unhandled(error: std::io::Error) -> String {
    format!("signals cannot be handled: {error}")
}

/// Does some work with the database and prints what it returns.
fn with_database(work: impl FnOnce(&Config, &Database) -> Result<String, String>) -> Result<(), String> {
    print(&(on_database(work)? + "\n"))
}

/// Opens the database and starts the private PostgreSQL if necessary. Stops it afterwards only if it was not running before.
fn on_database(work: impl FnOnce(&Config, &Database) -> Result<String, String>) -> Result<String, String> {
    let config = configure()?;
    let mut database = Database::open(&config)?;
    let result = work(&config, &database);
    if let Some(private) = database.private.take() {
        if private.was_running() { private.leave_running() } else { private.stop()? }
    }
    result
}

/// Reads one line from standard input; at a terminal, asks for it first.
fn read_password() -> Result<String, String> {
    let input = std::io::stdin();
    let line = if input.is_terminal() {
        rpassword::prompt_password("Password: ").map(Some)
    } else {
        input.lock().lines().next().transpose()
    };
    line.map(Option::unwrap_or_default).map_err(|error| format!("the password cannot be read: {error}"))
}

/// Prints to standard output, after the log lines that came before.
fn print(text: &str) -> Result<(), String> {
    logging::write_gathered();
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))
}
