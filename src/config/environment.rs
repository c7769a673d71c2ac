//! The environment and the `.env` file → names and values; and which names look like ours, misspelt.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;

use super::variables::VARIABLES;

/// The process environment, and the `.env` file of the working directory; the environment wins.
///
/// # Errors
/// One line where `.env` cannot be read, or the number of the line in it that is not `NAME=value`.
pub fn read() -> Result<HashMap<String, String>, String> {
    let mut variables = match fs::read_to_string(".env") {
        Ok(text) => read_file(&text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => HashMap::new(),
        Err(error) => {
            return Err(format!(".env cannot be read ({error}): mend its permissions or its encoding, or remove it"));
        }
    };
    for (name, value) in std::env::vars_os() {
        if let Ok(name) = name.into_string() {
            // What is not UTF-8 must not count as unset: it becomes a value that no setting takes.
            variables.insert(name, value.into_string().unwrap_or_else(|_| "\0".into()));
        }
    }
    Ok(variables)
}

fn read_file(text: &str) -> Result<HashMap<String, String>, String> {
    let text = text.trim_start_matches('\u{feff}');
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|error| {
        let number = match &error {
            dotenvy::Error::LineParse(bad, _) => line_of(bad, text),
            _ => 1,
        };
        // Without its text, which may well be a secret.
        format!(".env, line {number}: not NAME=value, or a quote that is not closed; mend or remove the line")
    })
}

/// The number of the line where this statement begins, which may have lost its comment and gone on over further lines.
fn line_of(bad: &str, text: &str) -> usize {
    let bad = bad.lines().next().unwrap_or_default();
    let is_it = |line: &str| line.strip_prefix(bad).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
    text.lines().position(is_it).map_or(1, |index| index + 1)
}

/// A warning for each name that nothing reads and that differs from one of ours by a letter, or in a longer name by two.
pub fn misspelt(variables: &HashMap<String, String>) -> Vec<String> {
    let mut names: Vec<&str> = variables.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.into_iter().filter_map(warning).collect()
}

fn warning(name: &str) -> Option<String> {
    let distances = VARIABLES.iter().map(|ours| (distance(name, ours.name), ours.name));
    let near = distances.filter(|(distance, ours)| *distance <= if ours.len() >= 8 { 2 } else { 1 }).min();
    let (_, ours) = near.filter(|(distance, _)| *distance > 0)?;
    Some(format!("nothing reads {name}: is it {ours}, misspelt?"))
}

/// How many letters must be added, left out or replaced to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (done, letter) in one.bytes().enumerate() {
        let mut diagonal = done;
        row[0] = done + 1;
        for (at, wanted) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != wanted);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
