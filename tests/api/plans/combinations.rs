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
    let (mut thousand, mut million) = (Filled::with(1_000), Filled::with_a_million());
    combinations_read_at_most_twice_as_many_rows(&mut thousand, &mut million);
    #[cfg(target_os = "linux")]
    short_words_are_sought_within_half_a_second(&mut million);
    counts_read_what_they_count(&mut million);
    doctors_are_found_by_their_filters(&mut million);
    users_are_found_among_a_hundred_thousand(&mut thousand);
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

/// What many doctors have in common is found in the order of the list, and not by sorting all of them.
fn doctors_are_found_by_their_filters(filled: &mut Filled) {
    for sort in &SORTS[..4] {
        for (name, specialization, most) in [("'doctor'", "null", 202.0), ("null", "'zation 3'", 2_020.0)] {
            let values = ["null", sort, "0", "null", "101", name, specialization, "null"].map(String::from);
            for plan in filled.ask(|sql| &sql.doctors.search, &values) {
                plan.reads_whole_tables_never();
                assert!(plan.rows() <= most, "{}: {} rows", plan.name, plan.rows());
            }
        }
    }
}

/// Accounts are found by any part of the name or of the address among 100,000, and paged by id.
fn users_are_found_among_a_hundred_thousand(filled: &mut Filled) {
    let more = "insert into users (name, email, password_hash)
                select 'User ' || n, 'member-' || n || '@example.org', '-' from generate_series(103, 100000) n; analyze users;";
    filled.client.batch_execute(more).expect("users");
    for (after, email, words, index, most) in [
        ("0", "null", "null", "users_pkey", 101.0),
        ("50000", "null", "null", "users_pkey", 101.0),
        ("0", "'EXAMPLE'", "null", "users_pkey", 101.0),
        ("0", "null", "'{user}'", "users_pkey", 101.0),
        ("0", "'ber-54321'", "null", "users_search_idx", 20.0),
        ("0", "null", "'{54321,member}'", "users_search_idx", 20.0),
        ("0", "'org'", "'{54321}'", "users_search_idx", 20.0),
    ] {
        let values = [after, "101", email, "null", "null", words].map(String::from);
        for plan in filled.ask(|sql| &sql.users.search, &values) {
            assert!(plan.indexes().contains(&index), "{}: {:?}", plan.name, plan.indexes());
            assert!(plan.rows() <= most, "{}: {} rows", plan.name, plan.rows());
        }
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
