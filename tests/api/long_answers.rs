//! Long answers: a page ends early where its records are long.

use std::collections::BTreeSet;

use crate::harness::{Person, TestApp};

/// A page ends at so many bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Gives a user patients whose histories are this SQL expression.
fn add_patients(app: &TestApp, owner: &Person, number: i32, history: &str) {
    let insert = format!(
        "insert into patients (name, date_of_birth, gender, medical_history, created_by)
         select 'P' || n, '1990-04-23', 'female', {history}, $2 from generate_series(1, $1) as n"
    );
    app.sql().execute(&insert, &[&number, &owner.id]).expect("patients");
}

/// Walks all pages of a list and returns how many records each has, after a look at their sizes and ids.
fn walk(person: &Person, start: &str) -> Vec<usize> {
    let (mut pages, mut seen, mut target) = (Vec::new(), BTreeSet::new(), Some(start.to_string()));
    while let Some(here) = target {
        let page = person.get(&here).expect(200, "success");
        assert!(page.body.len() <= PAGE_BYTES, "{here}: {} bytes", page.body.len());
        let ids = page.ids();
        pages.push(ids.len());
        assert!(ids.into_iter().all(|id| seen.insert(id)), "{here} shows a record again");
        target = page.next();
    }
    pages
}

#[test]
fn a_page_of_long_records_ends_at_4_mib_and_the_next_one_goes_on_there() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    // 80 KB each, the longest that there are: 52 fit on a page.
    add_patients(&app, &ann, 130, "repeat('😀', 20000)");
    for list in ["?limit=500", "?limit=100", "?limit=500&sort=name", "?limit=100&sort=-created_at", "?fields=id"] {
        assert_eq!(walk(&ann, &format!("/api/patients{list}")), [52, 52, 26], "{list}");
    }
    assert_eq!(walk(&root, "/api/admin/patients?limit=500"), [52, 52, 26]);
    assert_eq!(walk(&ann, "/api/patients?limit=40"), [40, 40, 40, 10], "a page that is short anyway");

    let entries = "insert into audit_entries (actor_id, action, resource, resource_id, before)
                   select created_by, 'update', 'patient', id, to_jsonb(patients) from patients";
    app.sql().execute(entries, &[]).expect("entries");
    let pages = walk(&root, "/api/admin/audit?limit=500&action=update");
    assert_eq!((pages.iter().sum::<usize>(), pages.len()), (130, 3));
}

#[test]
fn a_page_counts_its_json_where_that_is_longer_than_the_records() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    // 20 KB each, of which every byte is two in JSON.
    add_patients(&app, &ann, 150, r"'a' || repeat(E'\n', 19998) || 'b'");
    assert_eq!(walk(&ann, "/api/patients?limit=500"), [104, 46]);
}
