//! The reader of `sql/*.sql`.

use healthcare_backend::internals::{Rows, parse_file};
use postgres::types::Type;
use proptest::prelude::*;

const TYPES: [(&str, Type); 6] = [
    ("bigint", Type::INT8),
    ("text", Type::TEXT),
    ("text[]", Type::TEXT_ARRAY),
    ("jsonb", Type::JSONB),
    ("date", Type::DATE),
    ("boolean", Type::BOOL),
];
const ROWS: [(&str, Rows); 4] =
    [(":one", Rows::One), (":opt", Rows::Optional), (":many", Rows::Many), (":exec", Rows::None)];

/// The words that may follow.
const WORDS: [&str; 4] = ["", " write", " planned", " batched"];

/// One declared query: the places of its parameters' types, of its kind, and of its word.
fn any_query() -> impl Strategy<Value = (Vec<usize>, usize, usize)> {
    (prop::collection::vec(0..TYPES.len(), 0..12), 0..ROWS.len(), 0..WORDS.len())
}

/// The text of a file with these queries.
fn written(queries: &[(Vec<usize>, usize, usize)]) -> String {
    let mut text = "-- A file.\n".to_string();
    for (number, (types, rows, word)) in queries.iter().enumerate() {
        let declared: Vec<String> =
            types.iter().enumerate().map(|(place, kind)| format!("p{place} {}", TYPES[*kind].0)).collect();
        let used: Vec<String> = (1..=types.len()).rev().map(|place| format!("${place}")).collect();
        text += &format!(
            "\n-- name: q{number}({}) {}{}\n-- Says what it does, $99 and all.\nselect {}\n   -- and why\n  from x;\n",
            declared.join(", "),
            ROWS[*rows].0,
            WORDS[*word],
            used.join(", ")
        );
    }
    text
}

proptest! {
    #[test]
    fn a_declaration_is_read_as_it_was_written(queries in prop::collection::vec(any_query(), 0..6)) {
        let read = parse_file("file", &written(&queries)).expect("queries");
        prop_assert_eq!(read.len(), queries.len());
        for (number, (query, (types, rows, word))) in read.iter().zip(&queries).enumerate() {
            prop_assert_eq!(&query.name, &format!("file.q{number}"));
            let types: Vec<Type> = types.iter().map(|kind| TYPES[*kind].1.clone()).collect();
            prop_assert_eq!(&query.parameters, &types);
            let is = |name: &str| WORDS[*word].trim() == name;
            prop_assert_eq!(query.rows, ROWS[*rows].1);
            prop_assert_eq!((query.writes, query.planned, query.batched), (is("write"), is("planned"), is("batched")));
            prop_assert!(query.text.starts_with("select ") && query.text.ends_with("from x"), "{}", query.text);
            prop_assert!(!query.text.contains("--"));
        }
    }

    #[test]
    fn a_parameter_too_many_or_too_few_is_refused(queries in prop::collection::vec(any_query(), 1..4), place: prop::sample::Index) {
        let text = written(&queries);
        let target = place.index(queries.len());
        let count = queries[target].0.len();
        let from = text.find(&format!("-- name: q{target}(")).expect("the query");
        let (before, after) = text.split_at(from);
        let more = after.replacen("\nselect ", &format!("\nselect ${}, ", count + 1), 1);
        let problem = parse_file("file", &format!("{before}{more}")).expect_err("one too many");
        prop_assert!(problem.contains(&format!("file.q{target} ")) && !problem.contains('\n'), "{}", problem);
        if count > 0 {
            let fewer = after.replacen(&format!("\nselect ${count}"), "\nselect null", 1);
            let problem = parse_file("file", &format!("{before}{fewer}")).expect_err("one too few");
            prop_assert!(problem.contains(&format!("${count}")), "{}", problem);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(-- name:|\\(|\\)|,|:one|bigint|\\$[0-9]|\\$|\n|;| |a){0,40}|(?s:.){0,80}") {
        if let Err(problem) = parse_file("file", &text) {
            prop_assert!(problem.starts_with("file"), "{}", problem);
        }
    }
}
