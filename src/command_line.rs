//! The command line. `program.rs` holds the table of commands; this module parses a command line against it and prints the help.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

use crate::config::variables::VARIABLES;

/// One command: its name, its arguments, and what it does.
pub struct Command {
    pub name: &'static str,
    /// Its arguments, which may be given in any order.
    pub takes: &'static [Argument],
    /// What it does, in one line.
    pub about: &'static str,
    /// What `--help` says in addition; may be empty.
    pub more: &'static str,
    /// Runs it. An error has one line for each problem.
    pub run: fn(&Given) -> Result<(), String>,
}

/// One argument of a command.
pub struct Argument {
    /// `--email`, or `FILE`.
    pub name: &'static str,
    pub about: &'static str,
    pub kind: Kind,
    pub times: Times,
}

/// How often an argument is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Once,
    AtMostOnce,
    AnyNumber,
}

/// The kind of an argument.
pub enum Kind {
    /// A file name, of any bytes.
    File,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An option without a value.
    Flag,
    /// An option with a value: the placeholder in the help, and the rule.
    Option(&'static str, Rule),
}

/// Turns a text into the value of an option, or says what it must be.
pub type Rule = fn(&str) -> Result<String, String>;

/// The checked arguments of a command.
#[derive(Default)]
pub struct Given(Vec<(&'static str, OsString)>);

impl Given {
    pub fn text(&self, name: &str) -> &str {
        self.value(name).to_str().unwrap_or_default()
    }

    pub fn file(&self, name: &str) -> &Path {
        Path::new(self.value(name))
    }

    /// Whether a flag was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| *given == name)
    }

    /// The text of an option that need not be given.
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        self.texts(name).first().copied()
    }

    /// The texts of an option that may be given several times.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(given, _)| *given == name).filter_map(|(_, value)| value.to_str()).collect()
    }

    fn value(&self, name: &str) -> &OsStr {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_os_str()).unwrap_or_default()
    }
}

/// The meaning of a command line.
pub enum Asked {
    Run(&'static Command, Given),
    Help(String),
}

/// Reads a command line (without the program's name). An empty one means the first command.
pub fn read(commands: &'static [Command], words: &[OsString]) -> Result<Asked, String> {
    let Some((word, rest)) = words.split_first() else { return Ok(Asked::Run(&commands[0], Given::default())) };
    let word = word.to_string_lossy();
    let name = match word.as_ref() {
        "--help" | "-h" => "help",
        "--version" | "-V" => "version",
        other => other,
    };
    let command = commands.iter().find(|command| command.name == name);
    let command = command.ok_or_else(|| format!("there is no command {word:?}; try healthcare-backend help"))?;
    let asked = read_arguments(command, rest);
    asked.map_err(|problem| format!("{problem}; try healthcare-backend {name} --help"))
}

fn read_arguments(command: &'static Command, words: &[OsString]) -> Result<Asked, lexopt::Error> {
    let mut given = Given::default();
    let mut words = lexopt::Parser::from_args(words);
    while let Some(word) = words.next()? {
        let (argument, value) = match word {
            Long("help") | Short('h') => return Ok(Asked::Help(explain(command))),
            Long(option) => {
                match command.takes.iter().find(|argument| argument.name.strip_prefix("--") == Some(option)) {
                    Some(argument) if matches!(argument.kind, Kind::Flag) => (argument, OsString::new()),
                    Some(argument) => (argument, words.value()?),
                    None => return Err(word.unexpected()),
                }
            }
            Value(value) => {
                // Words and files have their order: each goes to the first that has none yet.
                let is_one = |argument: &&Argument| matches!(argument.kind, Kind::File | Kind::Word(_));
                let mut places = command.takes.iter().filter(is_one);
                let last = places.clone().next_back();
                match places.find(|argument| !given.has(argument.name)).or(last) {
                    Some(argument) => (argument, value),
                    None => return Err(Value(value).unexpected()),
                }
            }
            Short(_) => return Err(word.unexpected()),
        };
        let name = argument.name;
        if argument.times != Times::AnyNumber && given.has(name) {
            return Err(format!("{name} must be given once").into());
        }
        let value = match argument.kind {
            Kind::File | Kind::Flag => value,
            Kind::Word(allowed) if allowed.iter().any(|word| value == *word) => value,
            Kind::Word(allowed) => return Err(format!("{name} must be one of {}", allowed.join(", ")).into()),
            Kind::Option(_, rule) => rule(&value.string()?).map_err(|rule| format!("{name} {rule}"))?.into(),
        };
        given.0.push((name, value));
    }
    match required(command).find(|argument| !given.has(argument.name)) {
        Some(missing) => Err(format!("{} is missing", missing.name).into()),
        None => Ok(Asked::Run(command, given)),
    }
}

fn required(command: &Command) -> impl Iterator<Item = &'static Argument> {
    command.takes.iter().filter(|argument| argument.times == Times::Once)
}

/// `create-admin --email ADDRESS --name NAME`
fn usage(command: &Command, arguments: impl Iterator<Item = &'static Argument>) -> String {
    let mut usage = command.name.to_string();
    for argument in arguments {
        let _ = match argument.times {
            Times::Once => write!(usage, " {}", shown(argument)),
            Times::AtMostOnce => write!(usage, " [{}]", shown(argument)),
            Times::AnyNumber => write!(usage, " [{}]...", shown(argument)),
        };
    }
    usage
}

fn shown(argument: &Argument) -> String {
    match argument.kind {
        Kind::File | Kind::Word(_) | Kind::Flag => argument.name.into(),
        Kind::Option(value, _) => format!("{} {value}", argument.name),
    }
}

/// What `COMMAND --help` prints.
fn explain(command: &Command) -> String {
    let (first, rest) = command.about.split_at(1);
    let mut text =
        format!("healthcare-backend {}\n\n{}{rest}.\n", usage(command, command.takes.iter()), first.to_uppercase());
    for line in command.more.lines() {
        let _ = writeln!(text, "{line}");
    }
    if !command.takes.is_empty() {
        text.push('\n');
    }
    for argument in command.takes {
        let _ = writeln!(text, "  {:<20}{}", shown(argument), argument.about);
    }
    text + "\nhealthcare-backend help lists all commands, and the variables that configure them.\n"
}

/// What `help` prints: the commands, then the variables with their defaults.
pub fn help(commands: &[Command]) -> String {
    let mut text = String::from("healthcare-backend: the backend of a small clinic\n\n");
    for command in commands {
        let _ = writeln!(text, "  {:<44} {}", usage(command, required(command)), command.about);
    }
    text += "\nWithout a command, it serves. COMMAND --help explains a command. It is configured by environment variables and by a .env file in\n\
             the working directory; the environment wins. These are the variables and their defaults:\n\n";
    for variable in VARIABLES {
        let _ = writeln!(text, "  {:<27}  {:<23}  {}", variable.name, variable.default, variable.about);
    }
    text
}
