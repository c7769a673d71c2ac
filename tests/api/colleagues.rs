//! Members of a care group see and change each other's patients, and nobody else's.

use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// Three users; the first two are in a group.
fn ward() -> (TestApp, Person, Person, Person, Person, String) {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let group = admin.new_group("Ward", &[&ann, &ben]);
    (app, admin, ann, ben, eve, group)
}

fn names(person: &Person, target: &str) -> Vec<String> {
    let data = person.get(target).expect(200, "success").data();
    let name = |patient: &Value| patient["name"].as_str().expect("a name").to_string();
    data.as_array().expect("a list").iter().map(name).collect()
}

#[test]
fn colleagues_read_list_search_and_count_each_others_patients_and_mappings() {
    let (_app, _admin, ann, ben, eve, _) = ward();
    let (anns, bens, doctor) = (ann.new_patient("Ann's"), ben.new_patient("Ben's"), ann.new_doctor("D"));
    eve.new_patient("Eve's");
    let mapping = ann.new_mapping(anns, doctor);
    for (one, other, patient) in [(&ann, &ben, bens), (&ben, &ann, anns)] {
        let found = one.get(&format!("/api/patients/{patient}")).expect(200, "success");
        assert_eq!(found.data()["created_by"], other.id);
        assert_eq!(one.get("/api/patients").expect(200, "success").ids(), [anns, bens]);
        for filters in
            ["q=s", "name=n%27s", "sort=-created_at", "date_of_birth=1990-04-23", "gender=female", "limit=500"]
        {
            let answer = one.get(&format!("/api/patients?{filters}&count=true")).expect(200, "success");
            let mut ids = answer.ids();
            ids.sort_unstable();
            assert_eq!(ids, [anns, bens], "{filters}");
            assert_eq!(answer.header("x-total-count"), Some("2"), "{filters}");
        }
        assert_eq!(names(one, &format!("/api/patients?created_by={}", other.id)).len(), 1);
        assert_eq!(one.get(&format!("/api/patients?created_by={}", eve.id)).expect(200, "success").data(), json!([]));
        for list in
            ["/api/mappings".into(), format!("/api/mappings/{anns}"), format!("/api/mappings?doctor_id={doctor}")]
        {
            assert_eq!(one.get(&list).expect(200, "success").ids(), [mapping], "{list}");
        }
        one.get(&format!("/api/patients/{anns}/mappings/{mapping}")).expect(200, "success");
    }
    assert_eq!(names(&eve, "/api/patients"), ["Eve's"]);
    assert_eq!(eve.get(&format!("/api/patients?created_by={}", ann.id)).expect(200, "success").data(), json!([]));
    eve.get(&format!("/api/patients/{anns}")).expect(404, "failed");
    assert_eq!(eve.get("/api/mappings").expect(200, "success").data(), json!([]));
    eve.get(&format!("/api/patients/{anns}/mappings/{mapping}")).expect(404, "failed");
}

#[test]
fn who_is_taken_out_sees_nothing_from_the_next_request_on_and_is_not_seen() {
    let (_app, admin, ann, ben, _, group) = ward();
    let (anns, bens) = (ann.new_patient("Ann's"), ben.new_patient("Ben's"));
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [anns, bens]);
    admin.remove_member(&group, &ben);
    ben.get(&format!("/api/patients/{anns}")).expect(404, "failed");
    ann.get(&format!("/api/patients/{bens}")).expect(404, "failed");
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [bens]);
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids(), [anns]);
    admin.add_member(&group, &ben);
    ann.get(&format!("/api/patients/{bens}")).expect(200, "success");
    admin.delete(&format!("{group}?force=true")).expect(200, "deleted");
    ann.get(&format!("/api/patients/{bens}")).expect(404, "failed");
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [bens]);
}

#[test]
fn groups_are_not_transitive() {
    let (_app, admin, ann, ben, eve, _) = ward();
    admin.new_group("Other", &[&ben, &eve]);
    let (anns, eves) = (ann.new_patient("Ann's"), eve.new_patient("Eve's"));
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [anns, eves]);
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids(), [anns]);
    ann.get(&format!("/api/patients/{eves}")).expect(404, "failed");
    eve.get(&format!("/api/patients/{anns}")).expect(404, "failed");
}

#[test]
fn the_patients_of_a_disabled_colleague_stay_visible() {
    let (_app, admin, ann, ben, _, _) = ward();
    let anns = ann.new_patient("Ann's");
    admin.patch(&format!("/api/admin/users/{}", ann.id), json!({ "disabled": true })).expect(200, "updated");
    ben.get(&format!("/api/patients/{anns}")).expect(200, "success");
    assert_eq!(ben.get("/api/patients").expect(200, "success").ids(), [anns]);
}

/// Follows the links from page to page.
fn all_pages(person: &Person, target: &str) -> Vec<i64> {
    let (mut ids, mut next) = (Vec::new(), Some(target.to_string()));
    while let Some(target) = next {
        let answer = person.get(&target).expect(200, "success");
        ids.extend(answer.ids());
        next = answer.header("link").map(|link| link.split(['<', '>']).nth(1).expect("a target").to_string());
    }
    ids
}

#[test]
fn three_members_lists_show_each_record_exactly_once_in_every_order() {
    let (app, admin, ann, ben, eve, group) = ward();
    admin.add_member(&group, &eve);
    // Names and dates repeat, so that places in the order are equal.
    let fill = "insert into patients (name, date_of_birth, gender, created_by)
                select 'N' || n % 5, date '1990-01-01' + n % 4, 'other', ($1::bigint[])[1 + n % 3] from generate_series(1, 60) n";
    app.sql().execute(fill, &[&vec![ann.id, ben.id, eve.id]]).expect("patients");
    app.signed_up("stranger").new_patient("N1");
    let all: Vec<i64> = all_pages(&ann, "/api/patients?limit=500");
    assert_eq!(all.len(), 60);
    for order in [
        "",
        "&sort=name",
        "&sort=-created_at",
        "&sort=-updated_at",
        "&sort=date_of_birth",
        "&q=N&sort=name",
        "&gender=other",
    ] {
        for person in [&ann, &ben, &eve] {
            let paged = all_pages(person, &format!("/api/patients?limit=7{order}"));
            assert_eq!(paged, all_pages(person, &format!("/api/patients?limit=500{order}")), "{order}");
            let mut once = paged;
            once.sort_unstable();
            assert_eq!(once, all, "{order}");
        }
    }
    let sorted = names(&ben, "/api/patients?limit=500&sort=name");
    assert!(sorted.is_sorted(), "{sorted:?}");
}

#[test]
fn a_cursor_from_before_a_change_of_groups_stays_good_and_leaves_out_what_is_out_of_sight() {
    let (_app, admin, ann, ben, _, group) = ward();
    for number in 0..4 {
        ann.new_patient(&format!("A{number}"));
        ben.new_patient(&format!("B{number}"));
    }
    let first = ann.get("/api/patients?limit=3&sort=name").expect(200, "success");
    let next = first.header("link").expect("a link").split(['<', '>']).nth(1).expect("a target").to_string();
    admin.remove_member(&group, &ben);
    assert_eq!(names(&ann, &next), ["A3"]);
}
