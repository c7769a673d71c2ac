//! What a page costs in every combination of order and filters: among 1,000,000 patients at most twice the rows that it reads among
//! 1,000, and how long a search takes for a word that is too short for an index.

#![allow(clippy::print_stdout, reason = "the costs are printed for the person who runs the test")]

use std::collections::HashMap;

use super::{Filled, LARGE, SMALL};

/// The orders of patients, each with what each filter may be.
const SORTS: [&str; 5] = ["null", "'name'", "'-created_at'", "'-updated_at'", "'date_of_birth'"];
const NAMES: [&str; 2] = ["null", "'ÉR'"];
const GENDERS: [&str; 2] = ["null", "'male'"];
const BIRTHS: [&str; 2] = ["null", "date '1930-04-14'"];
const WORDS: [&str; 3] = ["null", "'{+49}'", "'{quill,zyxgard}'"];

/// The first pages of one owner and of everyone, each with the rows that it reads.
fn rows_read(filled: &mut Filled) -> HashMap<String, f64> {
    let mut read = HashMap::new();
    for owner in [format!("'{{{LARGE}}}'"), "null".into()] {
        for sort in SORTS {
            for name in NAMES {
                for gender in GENDERS {
                    for born in BIRTHS {
                        for words in WORDS {
                            let values =
                                [&owner, sort, "0", "null", "101", name, gender, born, words].map(String::from);
                            for plan in filled.ask(|sql| sql.patients.search.limited_by_owners(), &values) {
                                read.insert(format!("{values:?}"), plan.rows());
                            }
                        }
                    }
                }
            }
        }
    }
    read
}

#[test]
fn a_list_among_a_million_patients_costs_little_whatever_is_asked_of_it() {
    let (mut thousand, mut million) = (Filled::with(1_000), Filled::with(1_000_000));
    combinations_read_at_most_twice_as_many_rows(&mut thousand, &mut million);
    #[cfg(target_os = "linux")]
    short_words_are_sought_within_half_a_second(&mut million);
    counts_read_what_they_count(&mut million);
}

/// Among a million as among a thousand.
fn combinations_read_at_most_twice_as_many_rows(thousand: &mut Filled, million: &mut Filled) {
    let (few, many) = (rows_read(thousand), rows_read(million));
    assert_eq!(many.len(), 2 * 5 * 2 * 2 * 2 * 3);
    for (values, rows) in &many {
        // A page of 101 rows, half of whom are of one gender.
        let most = 2.0 * few[values].max(202.0);
        println!("{rows:>6} of {most:>6} {values}");
    }
    for (values, rows) in &many {
        let most = 2.0 * few[values].max(202.0);
        assert!(*rows <= most, "{values}: {rows} rows, not {most}");
    }
}

/// A count reads the records that it counts, or what the trigrams of its filters find, and never the whole table.
fn counts_read_what_they_count(filled: &mut Filled) {
    let small = format!("'{{{SMALL}}}'");
    let rare = "'{quill,zyxgard}'";
    for (owners, name, words, most) in [
        (small.as_str(), "null", "null", 100.0),
        (&small, "'ÉR'", "'{+49}'", 100.0),
        ("null", "null", rare, 100.0),
        ("null", "'ZYXgard q'", "null", 100.0),
        ("'{102}'", "'ZYXgard q'", rare, 100.0),
    ] {
        let values = [owners, name, "null", "null", words].map(String::from);
        for plan in filled.ask(|sql| sql.patients.count.limited_by_owners(), &values) {
            plan.reads_whole_tables_never();
            assert!(plan.rows() <= most, "{}: {} rows", plan.name, plan.rows());
        }
    }
    let doctors = ["null", "'octor 4321'", "null", "'{be-104321}'"].map(String::from);
    for plan in filled.ask(|sql| &sql.doctors.count, &doctors) {
        assert!(plan.indexes().contains(&"doctors_search_idx"), "{}: {:?}", plan.name, plan.indexes());
    }
}

/// How much time this process has had a processor.
#[cfg(target_os = "linux")]
fn cpu_seconds(process: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    // Behind the name, which may hold anything: user and system time in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    [11, 12].iter().map(|place| fields[*place].parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// Words of two letters, which no index knows, among the 100,000 patients of some colleagues.
#[cfg(target_os = "linux")]
fn short_words_are_sought_within_half_a_second(filled: &mut Filled) {
    let backend: i32 = filled.client.query_one("select pg_backend_pid()", &[]).expect("a process").get(0);
    let hundred_thousand = format!("'{{{}}}'", (3..102).map(|id| id.to_string()).collect::<Vec<_>>().join(","));
    for sort in SORTS {
        // None has the first, many have the second, and ten the third.
        for words in ["'{qy}'", "'{an}'", "'{zy}'"] {
            let values = [&hundred_thousand, sort, "0", "null", "101", "null", "null", "null", words].map(String::from);
            let before = cpu_seconds(backend);
            filled.ask(|sql| sql.patients.search.limited_by_owners(), &values);
            // Run once, and once more to be explained.
            let took = (cpu_seconds(backend) - before) / 2.0;
            println!("{took:.2} s {sort} {words}");
            assert!(took <= 0.5, "{sort} {words}: {took} s");
        }
    }
}
