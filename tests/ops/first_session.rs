//! The README's first session, and how docs/fhir.md goes on with it, pasted into the shells that people have.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::Folder;
use crate::harness::TestApp;
use crate::harness::app::SECRET;

/// The words of `status` that a remark may announce.
const WORDS: [&str; 7] = ["success", "created", "updated", "incomplete", "invalid", "forbidden", "failed"];

/// A block of commands, and the answers that the remark above it announces.
struct Block {
    commands: String,
    announced: Vec<String>,
}

/// The blocks of the section, in order.
fn blocks() -> Vec<Block> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let section = readme.split("\n## A first session\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let parts: Vec<&str> = section.expect("a section").split("```").collect();
    let block = |pair: &[&str]| {
        let remark = pair[0].split('`').skip(1).step_by(2);
        let announced = remark.filter(|word| WORDS.contains(word)).map(str::to_string).collect();
        let commands = pair[1].strip_prefix("sh\n").expect("a block of shell commands").to_string();
        Block { commands, announced }
    };
    parts.chunks_exact(2).map(block).collect()
}

/// The first block of shell commands of docs/fhir.md.
fn fhir_block() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fhir.md");
    let page = std::fs::read_to_string(path).expect("docs/fhir.md");
    page.split("```")
        .nth(1)
        .and_then(|block| block.strip_prefix("sh\n"))
        .expect("a block of shell commands")
        .to_string()
}

#[test]
fn bash_takes_the_first_session_as_it_stands() {
    paste_into("bash", &["--norc", "--noprofile", "-i"]);
}

#[test]
fn zsh_takes_the_first_session_as_it_stands() {
    // Out of the box an interactive zsh has no comments.
    paste_into("zsh", &["-f", "-i"]);
}

#[test]
fn dash_takes_the_first_session_as_it_stands() {
    paste_into("dash", &["-i"]);
}

/// Types all blocks into an interactive shell and compares the answers with what the remarks announce.
fn paste_into(shell: &str, arguments: &[&str]) {
    let app = TestApp::start();
    let folder = Folder::new(&format!("session-{shell}"));
    // A `cargo` that runs the program that is built already.
    let program = env!("CARGO_BIN_EXE_healthcare-backend");
    let cargo = folder.file("cargo", &format!("#!/bin/sh\nshift 4\nexec '{program}' \"$@\"\n"));
    std::fs::set_permissions(cargo, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:{}", folder.0.display(), std::env::var("PATH").expect("PATH"));

    let mut session = Command::new(shell);
    session.args(arguments).current_dir(&folder.0).env_clear().env("PATH", path).env("HOME", &folder.0);
    session.env("DATABASE_URL", &app.database).env("JWT_SECRET", SECRET);
    session.env("BCRYPT_COST", "4").env("ALLOW_WEAK_HASHING", "1");
    let mut session = session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect(shell);
    let blocks = blocks();
    let fhir = fhir_block();
    let commands = blocks.iter().map(|block| &block.commands).chain([&fhir]);
    let text: String = commands.map(|commands| format!("{commands}echo end of block\n")).collect();
    assert!(text.contains("127.0.0.1:8080"));
    let text = text.replace("127.0.0.1:8080", &app.address.to_string());
    session.stdin.take().expect("its input").write_all(text.as_bytes()).expect("its ear");
    let output = session.wait_with_output().expect("its end");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));

    let answered: Vec<&str> = said.split("end of block\n").collect();
    assert_eq!(answered.len(), blocks.len() + 2, "{said}{complained}");
    let resources = answered[blocks.len()].lines().filter(|line| line.contains(r#""resourceType":"#));
    let found = resources.filter(|resource| !resource.contains("OperationOutcome")).count();
    assert_eq!(found, fhir.matches("\ncall ").count(), "{}{complained}", answered[blocks.len()]);
    for (answers, block) in answered.iter().zip(&blocks) {
        let words: Vec<String> = answers.lines().filter_map(status).collect();
        assert_eq!(words, block.announced, "{}{answers}{complained}", block.commands);
    }
    // Prompts stand there as well, and bash's remark that it has no terminal.
    for complaint in ["not found", "parse error", "syntax error", "unmatched", "nterminated", "no matches", "expected"]
    {
        assert!(!complained.contains(complaint), "{complained}");
    }
    assert!(said.contains("Zoë Müller") && said.contains("root@example.org"), "{said}");
}

/// The word in an answer; none for a line that is something else. An interactive zsh may put its prompt before it.
fn status(line: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(&line[line.find('{')?..]).ok()?;
    Some(answer["status"].as_str()?.to_string())
}
