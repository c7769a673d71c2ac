//! What the pages tell people to type: every shell command has the grammar of the shell, and every target, command, option and
//! variable that they name exists. `ops first_session` and `ops pages` run the commands that can run on any machine.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use healthcare_backend::internals::VARIABLES;

use super::documents::{pages, prose, quoted};
use super::read;

/// Names in capitals that are not settings of the service: variables of others, methods, and words of SQL, HTTP or the shell.
const OTHERS: &[&str] = &[
    "ANY",
    "CHANGELOG",
    "COMMAND",
    "DELETE",
    "DESTDIR",
    "ETCDCTL_API",
    "FILE",
    "GET",
    "HEAD",
    "HTTP",
    "MALLOC_ARENA_MAX",
    "MALLOC_TRIM_THRESHOLD_",
    "NOTIFY",
    "NUL",
    "ON_ERROR_STOP",
    "OPTIONS",
    "OWNER_URL",
    "PATCH",
    "POST",
    "PRN",
    "PREFIX",
    "PUT",
    "ROUTES",
    "TOKEN",
];

/// The blocks of shell commands of all pages, each with its page.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    for page in pages() {
        let of_page = page.text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.extend(of_page.map(|block| (page.path.clone(), block.to_string())));
    }
    assert!(blocks.len() > 10, "{blocks:#?}");
    blocks
}

/// The pages' commands: those of the blocks, and those between back quotes.
fn commands() -> Vec<(String, String)> {
    let mut commands = blocks();
    for page in pages() {
        commands.extend(quoted(&prose(&page.text)).into_iter().map(|text| (page.path.clone(), text.to_string())));
    }
    commands
}

/// What the program prints on this command line.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_healthcare-backend")).args(arguments).output().expect("the program");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_block_of_commands_has_the_grammar_of_the_shell() {
    for shell in ["bash", "sh"] {
        for (page, block) in blocks() {
            let mut reading = Command::new(shell);
            reading.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut reading = reading.spawn().expect(shell);
            reading.stdin.take().expect("its input").write_all(block.as_bytes()).expect("a block");
            let output = reading.wait_with_output().expect("its end");
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && complaint.is_empty(), "{page}, {shell}: {complaint}\n{block}");
        }
    }
}

#[test]
fn every_target_of_make_that_a_page_names_exists() {
    let (makefile, mut count) = (read("Makefile"), 0);
    for (page, text) in commands() {
        for call in text.lines().filter_map(|line| line.strip_prefix("make ")) {
            let target = call.split_whitespace().next().unwrap_or_default();
            assert!(makefile.contains(&format!("\n{target}:")), "{page} says make {target}");
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn every_command_and_option_that_a_page_names_exists() {
    let list = printed(&["help"]);
    let known: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    let mut count = 0;
    for (page, text) in commands() {
        let text = text.replace("cargo run -q --release --", "healthcare-backend");
        let calls = text.split("healthcare-backend ").skip(1).map(|rest| rest.lines().next().unwrap_or_default());
        for call in calls {
            let mut words = call.split_whitespace().take_while(|word| !matches!(*word, "&&" | "|" | ";"));
            // The name may also be an argument: `docker build -t healthcare-backend -f …`.
            let Some(command) = words.next().filter(|word| !word.starts_with('-')) else { continue };
            assert!(known.contains(command), "{page} says healthcare-backend {command}");
            let help = printed(&[command, "--help"]);
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{page} says healthcare-backend {command} {option}");
            }
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn every_variable_that_a_page_names_exists() {
    let (mut count, mut unknown) = (0, BTreeSet::new());
    for (page, text) in commands() {
        let is_name = |word: &str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        for word in text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_')).filter(|word| is_name(word))
        {
            count += 1;
            if !VARIABLES.iter().any(|variable| variable.name == word) && !OTHERS.contains(&word) {
                unknown.insert(format!("{page} names {word}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(count > 50, "{count}");
}
