//! The README and docs/ agree with the code: endpoints, variables, metrics, dependencies, quoted code, links, names of tests.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::Command;

use healthcare_backend::Config;
use healthcare_backend::internals::{ROUTES, VARIABLES, Variable};

use super::{Source, read, root, sources};

/// The part of a page between this heading, of any level, and the next one of the same level.
pub fn section(page: &str, heading: &str) -> String {
    let text = read(page);
    let start = text.find(&format!("# {heading}\n")).unwrap_or_else(|| panic!("{page} has no section {heading}"));
    let level = text[..start].rsplit('\n').next().expect("a line").len() + 1;
    let rest = text[start..].split_once('\n').expect("a line").1;
    let next = format!("\n{} ", "#".repeat(level));
    rest.split(&next).next().expect("a section").to_string()
}

/// The rows of the tables in a section, each with its cells.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
    let section = section(page, heading);
    section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---")).map(cells).collect()
}

/// What stands between back quotes.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The names between back quotes in one column of a table.
fn names(rows: &[Vec<String>], column: usize) -> BTreeSet<String> {
    rows.iter().skip(1).flat_map(|cells| quoted(&cells[column])).map(str::to_string).collect()
}

#[test]
fn the_readme_and_the_page_on_fhir_list_every_endpoint_and_no_other() {
    let mut listed = BTreeSet::new();
    // The page on FHIR lists those of FHIR.
    for row in rows("README.md", "Endpoints").into_iter().chain(rows("docs/fhir.md", "Endpoints")) {
        let Some(pattern) = row.get(1).and_then(|cell| quoted(cell).first().copied()) else { continue };
        for method in row[0].split(", ") {
            assert!(listed.insert(format!("{method} {pattern}")), "{method} {pattern} stands there twice");
        }
    }
    let served: BTreeSet<String> =
        ROUTES.iter().map(|route| format!("{} {}", route.method.name(), route.pattern)).collect();
    assert_eq!(listed.difference(&served).collect::<Vec<_>>(), Vec::<&String>::new(), "in the README, and not served");
    assert_eq!(served.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "served, and not in the README");
}

#[test]
fn the_page_on_operations_lists_every_variable_with_its_default_and_meaning() {
    let rows = rows("docs/operations.md", "Configuration");
    let listed: Vec<String> = rows.into_iter().skip(1).map(|cells| cells.join(" | ")).collect();
    let row = |ours: &Variable| format!("`{}` | {} | {}", ours.name, ours.default, ours.about);
    let expected: Vec<String> = VARIABLES.iter().map(row).collect();
    let table = expected.iter().map(|row| format!("| {row} |\n")).collect::<String>();
    assert!(listed == expected, "the table of variables in docs/operations.md must be\n{table}");
}

// The crate from crates.io counts no connections.
#[cfg(all(target_os = "linux", not(feature = "upstream-tiny-http")))]
#[test]
fn the_page_on_operations_lists_every_metric_and_no_other() {
    let listed = names(&rows("docs/operations.md", "Watching"), 0);
    let page = String::from_utf8(crate::harness::TestApp::start().anyone().get("/metrics").body).expect("text");
    let served = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(listed, served.map(str::to_string).collect());
}

#[test]
fn the_page_on_extending_lists_and_counts_every_dependency() {
    let manifest = read("Cargo.toml");
    let tables = manifest.split("\n[").filter(|table| {
        let head = table.lines().next().unwrap_or_default();
        head == "dependencies]" || (head.starts_with("target.") && head.ends_with(".dependencies]"))
    });
    let direct = tables.flat_map(|table| table.lines().skip(1)).filter(|line| !line.starts_with('#'));
    let direct: BTreeSet<String> =
        direct.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_string()).collect();
    assert_eq!(names(&rows("docs/extending.md", "Dependencies"), 1), direct);

    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none"]);
    let output = cargo.args(["--target=x86_64-unknown-linux-gnu", "--format={p}"]).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let all: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let further = all.len() - 1 - direct.len();
    let counted = format!("\n{} crates directly, which bring {further} more", direct.len());
    assert!(section("docs/extending.md", "Dependencies").contains(&counted), "docs/extending.md must say: {counted}");
}

#[test]
fn the_declaration_that_the_page_on_sql_quotes_is_one_of_a_statement() {
    let page = read("sql/README.md");
    let declared = page.lines().find_map(|line| line.strip_prefix("    -- name: ")).expect("a declaration");
    let exists = sources("sql", ".sql").iter().any(|file| file.text.contains(&format!("\n-- name: {declared}\n")));
    assert!(exists, "no statement is declared as sql/README.md says: {declared}");
}

#[test]
fn the_example_of_embedding_is_the_one_that_is_compiled() {
    let section = section("docs/extending.md", "Embedding");
    let example = section.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let compiled: String = example.lines().map(|line| format!("{}\n", format!("//! {line}").trim_end())).collect();
    assert!(read("src/lib.rs").contains(&compiled), "src/lib.rs does not have\n{compiled}");
}

#[test]
fn the_example_of_an_env_file_has_every_variable_with_its_default_and_changes_nothing() {
    let block = |ours: &Variable| {
        let (value, more) = match ours.default {
            "—" | "none" => ("", String::new()),
            words if words.contains(' ') => ("", format!("; the default is {words}")),
            value => (value, String::new()),
        };
        format!("\n# {}{more}\n#{}={value}\n", ours.about, ours.name)
    };
    let example = read(".env.example");
    let expected: String = VARIABLES.iter().map(block).collect();
    assert!(example.ends_with(&expected), "after its first lines .env.example must be\n{expected}");
    assert!(example.lines().all(|line| line.is_empty() || line.starts_with('#')), "a line is in force");

    // And with every line in force it is the default.
    let all = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let all: HashMap<String, String> = all.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    assert_eq!(Config::from_variables(&all), Ok(Config::default()));
}

#[test]
fn every_field_of_the_configuration_has_its_variable() {
    let config = read("src/config/fields.rs");
    let fields =
        config.split("pub struct Config {\n").nth(1).and_then(|rest| rest.split("\n}").next()).expect("Config");
    let comments: Vec<&str> = fields.lines().filter(|line| line.trim_start().starts_with("/// `")).collect();
    assert_eq!(comments.len(), fields.matches("    pub ").count(), "each field names its variable");
    let named: BTreeSet<&str> = comments.iter().filter_map(|comment| quoted(comment).into_iter().next()).collect();
    let listed: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(named, listed);
}

#[test]
fn the_environment_is_read_in_one_place() {
    for source in sources("src", ".rs") {
        let code = source.code();
        // The system's own variables are no settings of ours.
        let is_setting = |name: &&str| !matches!(*name, "PATH" | "XDG_RUNTIME_DIR" | "NOTIFY_SOCKET");
        for call in ["env::var(\"", "env::var_os(\""] {
            let named = code.split(call).skip(1).filter_map(|rest| rest.split('"').next()).find(is_setting);
            assert_eq!(named, None, "{} reads it past src/config/variables.rs", source.path);
        }
        assert!(!code.contains("env::vars") || source.path == "src/config/environment.rs", "{}", source.path);
    }
}

#[test]
fn the_statement_that_the_readme_quotes_is_the_one_that_runs() {
    let readme = read("README.md");
    let block = readme.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of SQL");
    let indent = block.len() - block.trim_start_matches(' ').len();
    let block: String = block.lines().map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
    assert!(read("sql/patients.sql").contains(block.trim()), "sql/patients.sql does not have\n{block}");
}

/// The README, the pages of docs/, and the page on SQL.
pub fn pages() -> Vec<Source> {
    let mut pages = sources("docs", ".md");
    pages.extend(["README.md", "sql/README.md"].map(|path| Source { path: path.to_string(), text: read(path) }));
    pages
}

/// The part after `#` of a link to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_path_and_heading_that_a_page_links_to_exists() {
    let mut count = 0;
    for page in pages() {
        let links = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            count += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let full = root().join(&page.path);
            let full = if path.is_empty() { full } else { full.with_file_name("").join(path) };
            assert!(full.exists(), "{} links to {link}", page.path);
            if !heading.is_empty() {
                let text = fs::read_to_string(full).expect("a page");
                let mut headings =
                    text.lines().filter_map(|line| line.split_once("# ")).map(|(_, words)| anchor(words));
                assert!(headings.any(|there| there == heading), "{} links to {link}", page.path);
            }
        }
    }
    assert!(count > 50, "{count} links");
}

/// The names of all tests as the pages write them: `api tokens::forged_tokens_of_every_kind_are_refused_alike`.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in sources("tests", ".rs") {
        let place = source.path.trim_start_matches("tests/").trim_end_matches(".rs");
        let (program, modules) = place.split_once('/').unwrap_or((place, ""));
        let modules = if modules.is_empty() { String::new() } else { modules.replace('/', "::") + "::" };
        for test in source.text.split("#[test]").skip(1) {
            let name = test.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')).expect("a function").0;
            tests.insert(format!("{program} {modules}{name}"));
        }
    }
    assert!(tests.len() > 400);
    tests
}

#[test]
fn every_promise_about_security_names_tests_that_exist() {
    let (tests, page) = (tests(), read("docs/security.md"));
    let tables = page.split("| promise | kept by |\n|---|---|\n").skip(1).filter_map(|rest| rest.split("\n\n").next());
    let promises = tables.flat_map(str::lines);
    let mut count = 0;
    for promise in promises {
        let (what, names) = promise.trim_end_matches(" |").rsplit_once(" | ").expect("two cells");
        assert!(!quoted(names).is_empty(), "no test keeps this promise: {what}");
        for name in quoted(names) {
            let full = if name.contains(' ') { name.to_string() } else { format!("api {name}") };
            assert!(tests.contains(&full), "docs/security.md names the test {name}");
        }
        count += 1;
    }
    assert!(count > 20);
}

#[test]
fn every_test_that_a_page_names_exists() {
    let tests = tests();
    let programs: BTreeSet<&str> = tests.iter().filter_map(|test| test.split(' ').next()).collect();
    let mut count = 0;
    for page in pages() {
        let is_test = |text: &str| {
            let (program, name) = text.split_once(' ').unwrap_or_default();
            programs.contains(program) && (name.contains("::") || name.contains('_')) && !name.contains(' ')
        };
        for name in quoted(&prose(&page.text)).into_iter().filter(|text| is_test(text)) {
            let found = match name.strip_suffix('…') {
                Some(start) => tests.iter().any(|test| test.starts_with(start)),
                None => tests.contains(name),
            };
            assert!(found, "{} names the test {name}", page.path);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

/// The text without its blocks of code.
pub fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}
