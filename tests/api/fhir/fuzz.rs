//! Searches and paths that somebody has mangled: each gets an answer that a client can understand, and never a 500.

use super::brute_force::Dice;
use super::search::by_post;
use crate::contract::check;
use crate::harness::TestApp;
use crate::harness::app::Person;

/// What the mangling begins with.
const TARGETS: &[&str] = &[
    "Patient?name=anna&birthdate=ge1990-04&_sort=-name&_count=7",
    "Patient?identifier=urn:uuid:x|7&gender=male,female&_total=accurate",
    "Patient?_has:CareTeam:patient:participant=Practitioner/1&_revinclude=CareTeam:patient",
    "Patient?_lastUpdated=gt2026-01-05T08:31:00.5Z",
    "Patient?telecom=phone|4930,email|a@b.org&address=berlin&family:exact=Lee&given:contains=nn",
    "Patient/1",
    "Patient/1/_history/1",
    "Patient/1/_history?_since=2026-01-05&_count=3&_cursor=abc",
    "Patient/1/$everything?_type=CareTeam&_since=2026",
    "Patient/1/CareTeam?role=x",
    "Practitioner?name:contains=roe&identifier=|BE-1&_elements=name,id",
    "PractitionerRole?specialty:text=cardiology&_include=PractitionerRole:practitioner",
    "CareTeam?patient=Patient/1&participant=2&status=active&_include=CareTeam:participant:Practitioner&_summary=true",
    "DocumentReference?type=http://loinc.org|11348-0&date=le2030&category=clinical-note&_sort=_lastUpdated",
    "metadata?mode=full&_format=json",
    "DocumentReference/1-history?_summary=data&_pretty=true",
    "Patient?_id=1,2,3&email=s@example.org&phone=12345&active=true",
];
/// What is put in.
const PIECES: &[&str] = &[
    "%00",
    "%ff",
    "%C3%A9",
    "%5C",
    "%2C",
    "%7C",
    "%24",
    ",",
    "|",
    "$",
    "\\",
    ":",
    "=",
    "&",
    "?",
    "/",
    "-",
    "+",
    ".",
    "*",
    "(",
    "[",
    "{1,",
    "%25",
    "%0A",
    "9999999999999999999",
    "-1",
    "0",
    "ge",
    "ap",
    "9999-12-31T23:59:60Z",
    "0000",
    "_sort=family",
    "_count=0",
    "&name=%F0%9F%98%80",
    "name=%CC%81",
    ":exact",
    ":missing",
    "%E3%80%80",
    "_cursor=AAAA",
    "&_include=*",
    "&_has:",
    "..",
    "%2F",
    "1990-02-30",
    "\"",
    "'",
    ";",
    "%1F",
];

fn mangled(dice: &mut Dice) -> String {
    let mut target = dice.pick(TARGETS).to_string();
    for _ in 0..=dice.below(3) {
        let at = dice.below(target.len() + 1);
        match dice.below(4) {
            0 => target.truncate(at.max(1)),
            1 if !target.is_empty() => drop(target.remove(at.min(target.len() - 1))),
            2 => {
                let other = dice.pick(TARGETS);
                target.insert_str(at, &other[dice.below(other.len())..]);
            }
            _ => target.insert_str(at, dice.pick(PIECES)),
        }
    }
    target
}

fn send(person: &Person, target: &str, is_form: bool) {
    let answer = match target.split_once('?') {
        Some((kind, form)) if is_form => by_post(person, kind, form),
        _ => person.fhir(target),
    };
    let is_fine = matches!(answer.status, 200 | 304 | 400 | 401 | 404 | 405 | 406 | 410 | 414 | 415 | 503);
    assert!(is_fine, "{target}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    check(&answer);
}

/// `FHIR_FUZZ=100000 cargo test --test api fhir::fuzz` takes longer.
#[test]
fn no_mangled_search_or_path_is_our_fault() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann
        .patient_with(serde_json::json!({ "medical_history": "Asthma", "phone": "12345", "email": "s@example.org" }));
    ann.new_mapping(patient, ann.new_doctor("Dr. Roe"));
    let most: usize = std::env::var("FHIR_FUZZ").ok().and_then(|most| most.parse().ok()).unwrap_or(1_500);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let ann = &ann;
            scope.spawn(move || {
                let mut dice = Dice(40 + worker);
                for number in 0..most / 4 {
                    send(ann, &mangled(&mut dice), number % 5 == 0);
                }
            });
        }
    });
    assert_eq!(app.metric("panics_total"), 0.0);
}
