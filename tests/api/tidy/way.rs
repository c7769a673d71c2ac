//! The README's tour of one request against the imports of the code, and the pictures beside it.

use std::collections::BTreeSet;

use super::circles::{arrows, files, reachable};
use super::documents::section;
use super::{Source, read, root, sources};

/// Where the tour leads.
const HANDLER: &str = "src/handlers/patients.rs";

/// Files between the start and the handler that a request does not pass: the beginning of their paths, and what they do there.
const BESIDE: &[(&str, &str)] = &[
    ("src/commands.rs", "holds the commands other than `serve`"),
    ("src/spreadsheets", "reads and writes files, with what `commands.rs` has for the database"),
    ("src/openapi/", "describes the routes and their records"),
];

/// The paths of the files that the tour links to, in its order.
fn tour() -> Vec<String> {
    let section = section("README.md", "One request, end to end");
    let links = section.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| link.starts_with("src/") || link.starts_with("sql/")).map(str::to_string).collect()
}

#[test]
fn the_tour_enters_each_file_once() {
    let (tour, mut seen) = (tour(), BTreeSet::new());
    assert!(tour.len() > 20, "{tour:?}");
    for path in &tour {
        assert!(root().join(path).is_file(), "the README's tour links to {path}");
        assert!(seen.insert(path), "the README's tour enters {path} twice");
    }
}

#[test]
fn the_tour_goes_from_a_file_to_one_that_it_names() {
    let (tour, arrows) = (tour(), arrows(&files()));
    let code: Vec<&String> = tour.iter().filter(|path| path.ends_with(".rs")).collect();
    assert_eq!(code[0], "src/main.rs");
    for (place, path) in code.iter().enumerate().skip(1) {
        let named = code[..place].iter().any(|before| arrows[*before].contains_key(*path));
        assert!(named, "no file that the README's tour enters before {path} names it");
    }
}

#[test]
fn the_tour_leaves_out_no_file_between_the_start_and_the_handler() {
    let (tour, arrows) = (tour(), arrows(&files()));
    let mut unused: BTreeSet<&str> = BESIDE.iter().map(|(start, _)| *start).collect();
    for path in reachable(&arrows, "src/main.rs") {
        let is_entered = tour.iter().any(|entered| entered == path);
        if !is_entered && reachable(&arrows, path).contains(HANDLER) {
            let beside = BESIDE.iter().find(|(start, _)| path.starts_with(start));
            let (start, _) =
                beside.unwrap_or_else(|| panic!("{path} leads to the handler and is not in the README's tour"));
            unused.remove(start);
        }
    }
    assert!(unused.is_empty(), "{unused:?} do not lead to the handler any more, or are in the tour");
}

#[test]
fn the_pictures_show_files_and_threads_that_exist() {
    let code = sources("src", "");
    let words = |text: &str| -> Vec<String> {
        let texts = text.split("</text>").filter_map(|part| part.rsplit('>').next());
        texts.flat_map(|text| text.split_whitespace().map(str::to_string).collect::<Vec<_>>()).collect()
    };
    let mut files = 0;
    for word in words(&read("docs/request.svg")).iter().filter(|word| word.ends_with(".rs") || word.ends_with('/')) {
        let exists = |path: &str| path.ends_with(&format!("/{word}")) || path.contains(&format!("/{word}"));
        assert!(code.iter().any(|source| exists(&source.path)), "docs/request.svg shows {word}");
        files += 1;
    }
    assert!(files > 8, "{files}");

    let shown = words(&read("docs/threads.svg"));
    let all: String = code.iter().filter(|source| source.path.ends_with(".rs")).map(Source::code).collect();
    let named = all.split(".name(\"").skip(1).filter_map(|rest| rest.split('"').next());
    // These end as soon as what they wait for has come.
    let lasting = named.filter(|name| !["settling", "closing", "connect"].contains(name));
    for name in lasting.chain(["worker", "waiting", "hashing"]) {
        assert!(shown.iter().any(|word| word == name), "docs/threads.svg does not show the thread {name}");
        assert!(all.contains(&format!("\"{name}\"")), "no thread is named {name}");
    }
}
