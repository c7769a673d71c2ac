//! The parameters for list screens: order, fields, total; the same for patients and doctors.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::app::SECRET;
use crate::harness::http::Answer;
use crate::harness::{PASSWORD, Person, TestApp};

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
    // Made in the same moment, they come by descending id.
    let moment = "update patients set created_at = now(); update doctors set created_at = now();";
    app.sql().batch_execute(moment).expect("one moment");
    for path in ["/api/patients", "/api/doctors"] {
        let newest = names(&ann, &format!("{path}?sort=-created_at&limit=1"));
        assert_eq!(newest, ["charlie", "Bravo & Co", "alpha", "charlie", "Alpha", "delta"], "{path}");
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

/// The cursor in the `Link` of a page.
fn cursor(page: &Answer) -> String {
    let target = page.next().expect("more");
    let value = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("cursor="));
    value.expect("a cursor").to_string()
}

#[test]
fn a_sorted_list_continues_only_with_a_cursor_of_its_own() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    for number in 0..4 {
        ann.new_patient(&format!("Patient {number}"));
        ann.new_doctor(&format!("Doctor {number}"));
        bob.new_patient(&format!("Patient {number}"));
    }
    let page = |path: &str, sort: &str| ann.get(&format!("{path}?sort={sort}&limit=2")).expect(200, "success");
    for (path, sort, other_path, other_sort) in [
        ("/api/patients", "name", "/api/doctors", "-created_at"),
        ("/api/doctors", "-created_at", "/api/patients", "name"),
    ] {
        let mine = cursor(&page(path, sort));
        let rest = ann.get(&format!("{path}?sort={sort}&cursor={mine}")).expect(200, "success");
        assert_eq!(rest.ids().len(), 2);
        // A place in an order, whatever else is asked for.
        let picked = ann.get(&format!("{path}/?cursor={mine}&fields=name&limit=1&count=true&sort={sort}"));
        assert_eq!(picked.expect(200, "success").ids(), rest.ids()[..1]);
        let refused = |query: &str, culprit: &str| {
            let answer = ann.get(&format!("{path}?{query}")).expect(400, "invalid");
            assert_eq!(answer.fields(), [culprit], "{path}?{query}");
        };
        refused(&format!("sort={sort}&after=1"), "after");
        refused(&format!("sort={sort}&after=1&cursor={mine}"), "after");
        refused(&format!("cursor={mine}"), "cursor");
        refused(&format!("sort=&cursor={mine}"), "cursor");
        refused(&format!("sort={other_sort}&cursor={mine}"), "cursor");
        refused(&format!("sort={sort}&cursor={}", cursor(&page(other_path, sort))), "cursor");
        refused(&format!("sort={sort}&cursor="), "cursor");
        refused(&format!("sort={sort}&cursor=%20{mine}"), "cursor");
        refused(&format!("sort={sort}&cursor={mine}&cursor={mine}"), "cursor");
        for at in 0..mine.len() {
            let letter = if &mine[at..=at] == "A" { "B" } else { "A" };
            refused(&format!("sort={sort}&cursor={}{letter}{}", &mine[..at], &mine[at + 1..]), "cursor");
            refused(&format!("sort={sort}&cursor={}", &mine[..at]), "cursor");
        }
        assert!(!page(path, sort).header("link").is_some_and(|link| link.contains("after")));
    }
    // With another user's cursor, a user sees their own records that follow that place.
    let of_ann = cursor(&page("/api/patients", "name"));
    let own = bob.get(&format!("/api/patients?sort=name&cursor={of_ann}")).expect(200, "success");
    assert_eq!(own.ids().len(), 3, "his second has the name and a greater id");
    assert!(own.data().as_array().expect("a list").iter().all(|patient| patient["created_by"] == bob.id));
}

#[test]
fn a_cursor_is_good_at_every_node_after_a_restart_and_while_secrets_are_rotated() {
    const NEXT_SECRET: &str = "the next secret of the tests, 32 bytes";
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let ids: Vec<i64> = ["a", "b", "c"].iter().map(|name| ann.new_patient(name)).collect();
    let target = ann.get("/api/patients?sort=name&limit=1").expect(200, "success").next().expect("more");
    let other = TestApp::on(&app.database, |_| {});
    assert_eq!(ann.at(&other).get(&target).expect(200, "success").ids(), ids[1..2]);
    let same = ann.at(&other).get("/api/patients?sort=name&limit=1").next();
    assert_eq!(same.as_ref(), Some(&target), "the same place is the same text");
    let database = app.database.clone();
    app.stop();
    other.stop();
    let again = TestApp::on(&database, |_| {});
    assert_eq!(ann.at(&again).get(&target).expect(200, "success").ids(), ids[1..2]);
    again.stop();
    let rotating = TestApp::on(&database, |config| {
        config.jwt_secret = Some(NEXT_SECRET.into());
        config.jwt_secret_previous = Some(SECRET.into());
    });
    let page = ann.at(&rotating).get(&target).expect(200, "success");
    assert_eq!(page.ids(), ids[1..2]);
    assert!(!target.contains(&cursor(&page)), "made with the current secret");
    rotating.stop();
    let rotated = TestApp::on(&database, |config| config.jwt_secret = Some(NEXT_SECRET.into()));
    let ann = rotated.logged_in(&ann.email, PASSWORD);
    assert_eq!(ann.get(&target).expect(400, "invalid").fields(), ["cursor"]);
    assert_eq!(ann.get(&page.next().expect("more")).expect(200, "success").ids(), ids[2..]);
}

/// What happens to the lists while somebody walks through them: a record comes, or one of those goes.
#[derive(Clone, Debug)]
enum Event {
    Comes(String),
    Goes(prop::sample::Index),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof!["[a-c]|[A-C]|[äß]".prop_map(Event::Comes), any::<prop::sample::Index>().prop_map(Event::Goes),]
}

#[test]
fn a_record_that_is_there_all_the_time_is_shown_exactly_once_whatever_comes_and_goes() {
    let app = TestApp::start();
    let cases = prop::test_runner::Config { cases: 12, failure_persistence: None, ..Default::default() };
    let ann = app.signed_up("ann");
    let walks = (prop::collection::vec("[a-c]|[A-C]|[äß]", 3..9), prop::collection::vec(any_event(), 24), 1..4usize);
    let result = TestRunner::new(cases).run(&walks, |(names, events, limit)| {
        for (path, sort) in [("/api/patients", "name"), ("/api/patients", "-created_at"), ("/api/doctors", "name")] {
            let new =
                |name: &str| if path.ends_with("patients") { ann.new_patient(name) } else { ann.new_doctor(name) };
            let gone = |id: i64| drop(ann.delete(&format!("{path}/{id}")).expect(200, "deleted"));
            let (mut passing, mut stay): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
            for name in &names {
                passing.push(new(name));
                stay.push(new(name));
            }
            let mut events = events.iter();
            let mut shown = Vec::new();
            let mut target = Some(format!("{path}?sort={sort}&limit={limit}"));
            while let Some(here) = target {
                let page = ann.get(&here).expect(200, "success");
                shown.extend(page.ids().into_iter().filter(|id| stay.contains(id)));
                for event in events.by_ref().take(2) {
                    match event {
                        Event::Comes(name) => passing.push(new(name)),
                        Event::Goes(_) if passing.is_empty() => {}
                        Event::Goes(which) => gone(passing.swap_remove(which.index(passing.len()))),
                    }
                }
                target = page.next();
            }
            let whole = ann.get(&format!("{path}?sort={sort}&limit=500")).expect(200, "success").ids();
            let expected: Vec<i64> = whole.into_iter().filter(|id| stay.contains(id)).collect();
            prop_assert_eq!(expected.len(), stay.len());
            prop_assert_eq!(shown, expected, "{} {}", path, sort);
            passing.into_iter().chain(stay).for_each(gone);
        }
        Ok(())
    });
    result.expect("every record once, in its place");
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
        let few = ann.get(&format!("{path}?fields=name")).expect(200, "success").data()[0].clone();
        let keys: Vec<&String> = few.as_object().expect("a record").keys().collect();
        assert_eq!(keys, ["id", "name"], "the id is always there");
        for same in ["fields=id&fields=name", "fields=name&fields=id,name", "fields=name,name", "fields=name,%20id"] {
            assert_eq!(ann.get(&format!("{path}?{same}")).expect(200, "success").data()[0], few, "{same}");
        }
        for bad in
            ["fields=version", "fields=id,,name", "fields=", "fields=id&fields=", "fields=id,", "fields=id&fields=nme"]
        {
            assert_eq!(ann.get(&format!("{path}?{bad}")).expect(400, "invalid").fields(), ["fields"], "{bad}");
        }
        for bad in ["sort=id", "sort=created_at", "count=1", "from=x"] {
            let culprit = bad.split('=').next().expect("a name");
            assert_eq!(ann.get(&format!("{path}?{bad}")).expect(400, "invalid").fields(), [culprit], "{bad}");
        }
    }
}

#[test]
fn lists_come_last_changed_first_and_patients_by_date_of_birth_on_every_page() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patients: Vec<i64> = ["b", "a", "d", "c"].iter().map(|name| ann.new_patient(name)).collect();
    let doctors: Vec<i64> = ["b", "a", "d", "c"].iter().map(|name| ann.new_doctor(name)).collect();
    for (path, ids) in [("/api/patients", &patients), ("/api/doctors", &doctors)] {
        ann.patch(&format!("{path}/{}", ids[1]), json!({ "name": "changed" })).expect(200, "updated");
        for limit in [1, 3, 100] {
            let found = names(&ann, &format!("{path}?sort=-updated_at&limit={limit}"));
            assert_eq!(found, ["changed", "c", "d", "b"], "{path} {limit}");
        }
    }
    for (id, born) in patients.iter().zip(["1990-01-02", "1870-01-01", "1990-01-02", "1990-01-01"]) {
        ann.patch(&format!("/api/patients/{id}"), json!({ "date_of_birth": born })).expect(200, "updated");
    }
    for limit in [1, 2, 100] {
        let found = names(&ann, &format!("/api/patients?sort=date_of_birth&limit={limit}"));
        assert_eq!(found, ["changed", "c", "b", "d"], "{limit}");
    }
    assert_eq!(ann.get("/api/doctors?sort=date_of_birth").expect(400, "invalid").fields(), ["sort"]);
}

#[test]
fn names_are_sorted_and_found_without_accents() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let some = [
        "Zoe",
        "Jürgen",
        "jurgen",
        "A\u{30a}ngstro\u{308}m",
        "Ångström",
        "Angstrom",
        "İpek ışık",
        "مُحَمَّد",
        "王小明",
        "Łukasz ßø",
    ];
    for name in some {
        ann.new_patient(name);
        ann.new_doctor(name);
    }
    for path in ["/api/patients", "/api/doctors"] {
        let sorted = names(&ann, &format!("{path}?sort=name&limit=1"));
        assert_eq!(
            sorted[..6],
            ["A\u{30a}ngstro\u{308}m", "Ångström", "Angstrom", "İpek ışık", "Jürgen", "jurgen"],
            "{path}"
        );
        for parameter in ["name", "q"] {
            let found = |part: &str| names(&ann, &format!("{path}?{parameter}={}", encoded(part)));
            assert_eq!(found("JURGEN"), ["Jürgen", "jurgen"]);
            assert_eq!(found("ju\u{308}rg"), ["Jürgen", "jurgen"]);
            assert_eq!(found("ngström").len(), 3);
            assert_eq!(found("ipek"), ["İpek ışık"]);
            assert_eq!(found("IŞIK"), Vec::<String>::new(), "a dotless ı is another letter");
            assert_eq!(found("ışı"), ["İpek ışık"]);
            assert_eq!(found("محمد"), ["مُحَمَّد"]);
            assert_eq!(found("小明"), ["王小明"]);
            assert_eq!(found("ł"), ["Łukasz ßø"]);
            assert_eq!(found("％"), Vec::<String>::new(), "a wide percent sign is a percent sign, and no wildcard");
            assert_eq!(found("＿"), Vec::<String>::new());
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn every_word_of_q_is_found_in_some_field() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann"), app.signed_up("bob"));
    let born = json!("1990-04-23");
    let patient = |person: &Person, name: &str, phone: Value, email: Value| {
        let body = json!({ "name": name, "date_of_birth": born, "gender": "other", "phone": phone, "email": email });
        person.post("/api/patients", body).expect(201, "created");
    };
    patient(&ann, "Jürgen Weiß", json!("+49 (0)30 123-4567"), json!("jw@example.org"));
    patient(&ann, "Ann_100% \\ (x)", Value::Null, Value::Null);
    patient(&ann, "Nobody", json!("040 7654321"), Value::Null);
    patient(&bob, "Jürgen of Bob", Value::Null, Value::Null);
    let doctor = json!({ "name": "Dr. Née", "specialization": "Cardiology", "license_number": "BE-2024-117", "phone": "0711 99999" });
    ann.post("/api/doctors", doctor).expect(201, "created");
    ann.new_doctor("Another");
    let found = |path: &str, words: &str| names(&ann, &format!("{path}?q={}", encoded(words)));
    let patients = |words: &str| found("/api/patients", words);
    for words in [
        "jurgen",
        "WEI",
        "weiß JÜR",
        "\t jw@ \n jurgen ",
        "example.ORG",
        "1234567",
        "123-4567",
        "49030",
        "(0)30",
        "+49 weiß",
        "12 34 jw",
    ] {
        assert_eq!(patients(words), ["Jürgen Weiß"], "{words:?}");
    }
    for words in ["%", "_", "\\", "(x)", "100% ann_", "0% ann ("] {
        assert_eq!(patients(words), ["Ann_100% \\ (x)"], "{words:?}");
    }
    for words in [
        "jurgen nobody",
        "jürgen7",
        "gen Jür z",
        "*",
        "\"",
        ".",
        "jw@example.org49",
        "1234567jw",
        "77",
        "45671",
        "weiß\u{2}",
        "[a-z]",
    ] {
        let answer = ann.get(&format!("/api/patients?q={}", encoded(words)));
        match words {
            "weiß\u{2}" => assert_eq!(answer.expect(400, "invalid").fields(), ["q"]),
            "." => assert_eq!(patients(words), ["Jürgen Weiß"], "a point is a point"),
            _ => assert_eq!(answer.expect(200, "success").ids(), Vec::<i64>::new(), "{words:?}"),
        }
    }
    assert_eq!(patients(" \t\n").len(), 3, "blank is as without");
    for words in ["be-2024", "2024-117", "CARDIO née", "071199999", "0711 9"] {
        assert_eq!(found("/api/doctors", words), ["Dr. Née"], "{words:?}");
    }
    let counted = ann.get("/api/patients?q=o&count=true&limit=1&sort=name&fields=name").expect(200, "success");
    assert_eq!(counted.header("x-total-count"), Some("2"), "Nobody, and the address of Jürgen");
    assert_eq!(names(&root, "/api/admin/users?q=ANN+example"), ["ann"]);
    let ten = ["e"; 10].join(" ");
    assert_eq!(patients(&ten), ["Jürgen Weiß"]);
    for bad in [format!("{ten} e"), "e".repeat(201)] {
        assert_eq!(ann.get(&format!("/api/patients?q={}", encoded(&bad))).expect(400, "invalid").fields(), ["q"]);
    }
}

#[test]
fn an_admins_lists_are_sorted_searched_picked_and_counted_as_well() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann"), app.signed_up("bob"));
    for (person, name) in [(&ann, "b"), (&bob, "a"), (&ann, "Ä"), (&bob, "c")] {
        person.new_patient(name);
        person.new_doctor(name);
    }
    for path in ["/api/admin/patients", "/api/admin/doctors"] {
        for limit in [1, 3, 100] {
            assert_eq!(names(&root, &format!("{path}?sort=name&limit={limit}")), ["a", "Ä", "b", "c"], "{path}");
            for sort in ["-created_at", "-updated_at"] {
                assert_eq!(names(&root, &format!("{path}?sort={sort}&limit={limit}")), ["c", "Ä", "a", "b"], "{path}");
            }
            let of_ann = format!("{path}?sort=name&limit={limit}&created_by={}", ann.id);
            assert_eq!(names(&root, &of_ann), ["Ä", "b"], "{path}");
        }
        let page =
            root.get(&format!("{path}?q=a&name=A&count=true&fields=name&limit=1&sort=name")).expect(200, "success");
        assert_eq!((page.header("x-total-count"), &page.data()[0]["created_by"]), (Some("2"), &Value::Null));
        assert_eq!(root.get(&format!("{path}?created_by={}&count=true", ann.id)).header("x-total-count"), Some("2"));
        let foreign = ann.get(&format!("{}?sort=name&cursor={}", path.replace("/admin", ""), cursor(&page)));
        assert_eq!(foreign.expect(400, "invalid").fields(), ["cursor"], "a cursor belongs to one list");
    }
}
