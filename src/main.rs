//! Command line → configuration → run. Exit code 0, 1 with one line that says what is wrong and what to do, or 2 for a wrong
//! command line.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use healthcare_backend::app::Database;
use healthcare_backend::config::environment;
use healthcare_backend::{Config, Service, backup, commands, logging, openapi};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const HELP: &str = "\
healthcare-backend: the backend of a small clinic

  healthcare-backend [serve]                          serve until SIGTERM or Ctrl-C
  healthcare-backend migrate                          bring the schema up to date
  healthcare-backend create-admin --email E --name N  make an admin; the password is asked for, or one line of standard input
  healthcare-backend set-role --email E --role R      make a user an admin, or an admin a user
  healthcare-backend check                            what would serve do: configuration, SQL files, database, migrations
  healthcare-backend backup FILE                      write the private PostgreSQL's data to a new file, while serve runs or not
  healthcare-backend restore FILE                     read such a file into a private PostgreSQL that holds no records yet
  healthcare-backend openapi                          print the OpenAPI document
  healthcare-backend help | version

It is configured by environment variables and a .env file; README.md lists them.
";

/// Why the program ends early.
enum Failure {
    /// Exit code 1: one line a problem.
    Problem(Vec<String>),
    /// Exit code 2: a wrong command line.
    Usage(String),
}

impl From<String> for Failure {
    fn from(problem: String) -> Failure {
        Failure::Problem(vec![problem])
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (lines, code) = match run(&arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Problem(lines)) => (lines, 1),
        Err(Failure::Usage(line)) => (vec![line], 2),
    };
    let mut out = std::io::stderr().lock();
    for line in lines {
        let _ = writeln!(out, "healthcare-backend: {line}");
    }
    ExitCode::from(code)
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let (command, options) =
        arguments.split_first().map_or(("serve", arguments), |(command, options)| (command, options));
    match command {
        "serve" => without_options(options).and_then(|()| serve()),
        "migrate" => without_options(options).and_then(|()| with_database(commands::migrate)),
        "check" => without_options(options).and_then(|()| with_database(commands::check)),
        "create-admin" => {
            let [email, name] = named_options(options, ["--email", "--name"])?;
            with_database(|config, database| commands::create_admin(config, database, &email, &name, read_password()?))
        }
        "set-role" => {
            let [email, role] = named_options(options, ["--email", "--role"])?;
            with_database(|config, database| commands::set_role(config, database, &email, &role))
        }
        "backup" => {
            let file = file_name(options)?;
            with_database(|_, database| backup::backup(database, file.as_ref()))
        }
        "restore" => {
            let file = file_name(options)?;
            with_database(|config, database| backup::restore(config, database, file.as_ref()))
        }
        "openapi" => without_options(options).and_then(|()| print_openapi()),
        "help" | "--help" | "-h" => print(HELP),
        "version" | "--version" | "-V" => print(concat!("healthcare-backend ", env!("CARGO_PKG_VERSION"), "\n")),
        other => Err(Failure::Usage(format!("there is no command {other:?}; try healthcare-backend help"))),
    }
}

/// Reads the environment and starts the log. A misspelt name is said in any case: it may be why the rest is wrong.
fn configure() -> Result<Config, Failure> {
    let variables = environment::read()?;
    let misspelt = environment::misspelt(&variables);
    let config = Config::from_variables(&variables);
    let config = config.map_err(|problems| Failure::Problem([problems, misspelt.clone()].concat()))?;
    logging::init(&config);
    for warning in misspelt {
        log::warn!(target: "config", "{warning}");
    }
    Ok(config)
}

fn serve() -> Result<(), Failure> {
    let config = configure()?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| format!("signals cannot be handled: {error}"))?;
    log::info!(target: "server", "starting: {}", config.summary());
    let service = Service::start(config)?;
    print(&format!("listening on http://{}\n", service.address()))?;
    signals.forever().next();
    log::info!(target: "server", "stopping");
    service.stop()?;
    Ok(())
}

/// Opens the database, the private PostgreSQL if need be, and leaves it as it was found.
fn with_database(work: impl FnOnce(&Config, &Database) -> Result<String, String>) -> Result<(), Failure> {
    let config = configure()?;
    let mut database = Database::open(&config)?;
    let result = work(&config, &database);
    if let Some(private) = database.private.take() {
        if private.was_running() { private.leave_running() } else { private.stop()? }
    }
    print(&(result? + "\n"))
}

/// The document says which limits the configuration sets.
fn print_openapi() -> Result<(), Failure> {
    let config = configure()?;
    print(&(openapi::document(&config)? + "\n"))
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

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::from(format!("standard output: {error}")))
}

fn without_options(options: &[String]) -> Result<(), Failure> {
    match options.first() {
        None => Ok(()),
        Some(option) => Err(Failure::Usage(format!("{option:?} is not expected here; try healthcare-backend help"))),
    }
}

/// The only argument, a file's name.
fn file_name(options: &[String]) -> Result<String, Failure> {
    match options {
        [file] if !file.starts_with('-') => Ok(file.clone()),
        _ => Err(Failure::Usage("give the name of one file; try healthcare-backend help".into())),
    }
}

/// The values of options that must each be given once, as `--name value` or `--name=value`.
fn named_options<const N: usize>(options: &[String], names: [&str; N]) -> Result<[String; N], Failure> {
    let mut values = [const { None }; N];
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (word.as_str(), words.next().cloned()),
        };
        let place = names.iter().position(|known| *known == name);
        let place = place
            .ok_or_else(|| Failure::Usage(format!("{name:?} is not expected here; try healthcare-backend help")))?;
        if values[place].is_some() || value.is_none() {
            return Err(Failure::Usage(format!("{name} must be given once, with a value")));
        }
        values[place] = value;
    }
    match names.iter().zip(&values).find(|(_, value)| value.is_none()) {
        Some((name, _)) => Err(Failure::Usage(format!("{name} is missing; try healthcare-backend help"))),
        None => Ok(values.map(Option::unwrap_or_default)),
    }
}
