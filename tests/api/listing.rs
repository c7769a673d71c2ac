//! What list screens ask for: order, fields, total; for patients and doctors alike.

use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// Walks all pages and returns the names in order.
fn names(person: &Person, start: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut target = Some(start.to_string());
    while let Some(here) = target {
        let page = person.get(&here).expect(200, "success");
        names.extend(
            page.data().as_array().expect("a list").iter().map(|r| r["name"].as_str().expect("a name").to_string()),
        );
        target = page.next();
    }
    names
}

#[test]
fn lists_are_sorted_by_name_without_case_and_newest_first_on_every_page() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    for name in ["delta", "Alpha", "charlie", "alpha", "Bravo & Co", "charlie"] {
        ann.new_patient(name);
        ann.new_doctor(name);
        bob.new_patient(&format!("Bob's {name}"));
    }
    for path in ["/api/patients", "/api/doctors"] {
        for limit in [1, 2, 3, 6, 100] {
            let by_name = names(&ann, &format!("{path}?sort=name&limit={limit}"));
            assert_eq!(by_name, ["Alpha", "alpha", "Bravo & Co", "charlie", "charlie", "delta"], "{path} {limit}");
            let newest = names(&ann, &format!("{path}?sort=-created_at&limit={limit}"));
            assert_eq!(newest, ["charlie", "Bravo & Co", "alpha", "charlie", "Alpha", "delta"], "{path} {limit}");
        }
        assert_eq!(names(&ann, &format!("{path}?sort=name&name=ALPHA&limit=1")), ["Alpha", "alpha"]);
        assert_eq!(names(&ann, &format!("{path}?sort=-created_at&name=a&limit=1")).len(), 6);
    }
}

#[test]
fn a_page_goes_on_where_it_was_although_its_last_record_has_gone() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let ids: Vec<i64> = ["a", "b", "c", "d"].iter().map(|name| ann.new_patient(name)).collect();
    let first = ann.get("/api/patients?sort=name&limit=2").expect(200, "success");
    ann.delete(&format!("/api/patients/{}", ids[1])).expect(200, "deleted");
    let second = ann.get(&first.next().expect("more")).expect(200, "success");
    assert_eq!(second.ids(), ids[2..]);
}

#[test]
fn fields_picks_and_count_counts_what_the_filters_leave() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    for number in 0..3 {
        ann.new_patient(&format!("P{number}"));
        ann.new_doctor(&format!("D{number}"));
        bob.new_patient("P");
    }
    for (path, filter) in [("/api/patients", "name=P1"), ("/api/doctors", "name=D1")] {
        let some = ann.get(&format!("{path}?fields=name,id&limit=1&count=true")).expect(200, "success");
        let keys: Vec<String> = some.data()[0].as_object().expect("a record").keys().cloned().collect();
        assert_eq!(keys, ["id", "name"]);
        assert_eq!(some.header("x-total-count"), Some("3"));
        let filtered = ann.get(&format!("{path}?{filter}&count=true")).expect(200, "success");
        assert_eq!(filtered.header("x-total-count"), Some("1"));
        assert_eq!(ann.get(path).expect(200, "success").header("x-total-count"), None, "only on request");
    }
}

#[test]
fn every_field_of_a_record_can_be_picked_and_no_other() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    ann.new_patient("P");
    ann.new_doctor("D");
    for path in ["/api/patients", "/api/doctors"] {
        let whole = ann.get(path).expect(200, "success").data()[0].clone();
        let all: Vec<String> = whole.as_object().expect("a record").keys().cloned().collect();
        let picked = ann.get(&format!("{path}?fields={}", all.join(","))).expect(200, "success");
        assert_eq!(picked.data()[0], whole);
        for bad in
            ["fields=version", "fields=id,,name", "sort=id", "sort=created_at", "count=1", "sort=-created_at&from=x"]
        {
            let answer = ann.get(&format!("{path}?{bad}")).expect(400, "invalid");
            let culprit = if bad.contains("from") { "from" } else { bad.split('=').next().expect("a name") };
            assert_eq!(answer.fields(), [culprit], "{bad}");
        }
    }
    let admin: Value = json!(app.admin("root").get("/api/admin/patients?sort=name").expect(400, "invalid").fields());
    assert_eq!(admin, json!(["sort"]), "an admin's lists come in the order of ids");
}
