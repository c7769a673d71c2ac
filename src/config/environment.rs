//! The environment and the `.env` file → names and values. Also finds names that look like ours but are misspelt.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;

use super::variables::VARIABLES;

/// The process environment, and the `.env` file of the working directory; the environment wins.
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
            // A value that is not UTF-8 must not count as unset: it becomes a value that no setting accepts.
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
        // Without quoting the line, which may contain a secret.
        format!(".env, line {number}: not NAME=value, or a quote that is not closed; mend or remove the line")
    })
}

/// The number of the line on which this statement begins. The parser may have dropped its comment, and it may span several lines.
fn line_of(bad: &str, text: &str) -> usize {
    let bad = bad.lines().next().unwrap_or_default();
    let is_it = |line: &str| line.strip_prefix(bad).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
    text.lines().position(is_it).map_or(1, |index| index + 1)
}

/// A warning for each unknown name that differs from one of ours by one letter, or by two if the name is long.
pub fn misspelt(variables: &HashMap<String, String>) -> Vec<String> {
    let mut names: Vec<&str> = variables.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.into_iter().filter_map(warning).collect()
}

fn warning(name: &str) -> Option<String> {
    let distances = VARIABLES.iter().map(|ours| (distance(name, ours.name), ours.name));
    let near = distances.filter(|(distance, ours)| *distance <= if ours.len() >= 8 { 2 } else { 1 }).min();
    let (_, ours) = near.filter(|(distance, _)| *distance > 0)?;
    Some(format!("nothing reads the variable {name}: did you mean {ours}?"))
}

/// How many letters must be added, removed or replaced to turn one name into the other.
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
