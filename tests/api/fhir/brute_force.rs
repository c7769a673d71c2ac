//! Searches against brute force: random queries, each compared with what a look at every resource finds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::search::{by_post, ids};
use crate::harness::TestApp;
use crate::harness::app::Person;

const NAMES: [&str; 16] = [
    "Anna van der Berg",
    "Berg, Anna Maria",
    "anna berg",
    "Zoë Müller-Ångström",
    "O'Brien, Seán",
    "Jean-Luc Picard",
    "李小龍",
    "Rao,",
    "Cher",
    "Dr. Ada Roe",
    "Prof. Dr. Bergmann, Ada",
    "Łukasz Żak",
    "Ann  Lee",
    "Anna\u{a0}Roe",
    "100% Berg_",
    "Ben Annan",
];
const WORDS: [&str; 22] = [
    "a",
    "an",
    "anna",
    "ANNA",
    "Berg",
    "berg",
    "erg",
    "müll",
    "muller",
    "angstrom",
    "Ångström",
    "o'b",
    "brien",
    "luc",
    "jean-luc",
    "李",
    "rao,",
    "roe",
    "zak",
    "anna b",
    "%",
    "_",
];

/// Numbers that look random and are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// One parameter: its name, and the values of which one must fit.
type Asked = (String, Vec<String>);

struct World {
    /// The system of the identifiers.
    system: String,
    teams: Vec<Value>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let items = value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).collect()
}

/// Without case and accents, for the letters above.
fn folded(text: &str) -> String {
    let plain = |letter: char| match letter {
        'ë' | 'é' => 'e',
        'ü' => 'u',
        'å' | 'á' => 'a',
        'ö' => 'o',
        'ż' => 'z',
        '\u{a0}' => ' ',
        other => other,
    };
    text.to_lowercase().chars().map(plain).collect()
}

fn begins_a_word(text: &str, part: &str) -> bool {
    let (text, part) = (folded(text), folded(part));
    text.match_indices(&part).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

/// Whether a date or time lies where this value of a search says.
fn dated(stored: &str, sent: &str) -> bool {
    let (prefix, rest) =
        if sent.starts_with(|sign: char| sign.is_ascii_lowercase()) { sent.split_at(2) } else { ("eq", sent) };
    let order = match rest.parse::<Timestamp>() {
        Ok(moment) if rest.len() > 20 => stored.parse::<Timestamp>().expect("a time").cmp(&moment),
        // As far as the value is precise, texts are in the order of time.
        _ => stored[..rest.trim_end_matches('Z').len()].cmp(rest.trim_end_matches('Z')),
    };
    match prefix {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        "gt" | "sa" => order.is_gt(),
        "lt" | "eb" => order.is_lt(),
        "ge" => order.is_ge(),
        _ => order.is_le(),
    }
}

impl World {
    fn fits(&self, resource: &Value, name: &str, value: &str) -> bool {
        let parts = |of: &str| match of {
            "family" => vec![text(resource, "/name/0/family")],
            "given" => list(resource, "/name/0/given"),
            _ => vec![text(resource, "/name/0/text")],
        };
        let telecoms = || resource["telecom"].as_array().cloned().unwrap_or_default();
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let reached = |system: &str, value: &str| {
            let same = |stored: &str| match system {
                "phone" => !digits(value).is_empty() && digits(stored) == digits(value),
                _ => stored.to_lowercase() == value.to_lowercase(),
            };
            telecoms().iter().any(|point| point["system"] == system && same(point["value"].as_str().expect("a value")))
        };
        let team_of = |id: &str| self.teams.iter().find(|team| team["id"] == id);
        let has = |team: &Value, member: &str| {
            let member = format!("Practitioner/{}", member.trim_start_matches("Practitioner/"));
            team["participant"].as_array().expect("participants").iter().any(|one| one["member"]["reference"] == member)
        };
        match name {
            "_id" => resource["id"] == value,
            "_lastUpdated" | "date" => dated(text(resource, "/meta/lastUpdated"), value),
            "birthdate" => dated(text(resource, "/birthDate"), value),
            "name" | "family" | "given" => parts(name).iter().any(|part| begins_a_word(part, value)),
            "name:contains" | "family:contains" | "given:contains" => {
                parts(name.trim_end_matches(":contains")).iter().any(|part| folded(part).contains(&folded(value)))
            }
            "family:exact" | "given:exact" => parts(name.trim_end_matches(":exact")).contains(&value),
            "name:exact" => ["name", "family", "given"].iter().any(|of| parts(of).contains(&value)),
            "gender" => resource["gender"] == value.trim_start_matches("http://hl7.org/fhir/administrative-gender|"),
            "address" => folded(text(resource, "/address/0/text")).contains(&folded(value)),
            "phone" | "email" => reached(name, value),
            "telecom" => match value.split_once('|') {
                Some((system, value)) => reached(system, value),
                None => reached(if value.contains('@') { "email" } else { "phone" }, value),
            },
            "identifier" => {
                let (system, code) = match value.split_once('|') {
                    Some((system, code)) => (Some(system), code),
                    None => (None, value),
                };
                let (own_system, own) = (text(resource, "/identifier/0/system"), text(resource, "/identifier/0/value"));
                system.is_none_or(|system| system == own_system) && (code.is_empty() || code == own)
            }
            "active" => value == "true",
            "_has:CareTeam:patient:participant" => team_of(text(resource, "/id")).is_some_and(|team| has(team, value)),
            "participant" => has(resource, value),
            "patient" | "subject" => {
                let patient = text(resource, "/subject/reference").trim_start_matches("Patient/");
                value.trim_start_matches("Patient/") == patient
            }
            "role" => {
                let participants = resource["participant"].as_array().expect("participants");
                participants.iter().any(|one| text(one, "/role/0/text").to_lowercase() == value.to_lowercase())
            }
            "specialty" => text(resource, "/specialty/0/text").to_lowercase() == value.to_lowercase(),
            "practitioner" => {
                text(resource, "/practitioner/reference")
                    == format!("Practitioner/{}", value.trim_start_matches("Practitioner/"))
            }
            "status" => resource["status"] == value,
            other => panic!("no brute force for {other}"),
        }
    }

    /// A random parameter of a search for this type.
    fn asked(&self, dice: &mut Dice, round: usize, kind: &str, all: &[Value]) -> Asked {
        let names: &[&str] = match kind {
            "Patient" => &[
                "_id",
                "_lastUpdated",
                "name",
                "name",
                "family",
                "given",
                "name:contains",
                "given:contains",
                "name:exact",
                "family:exact",
                "given:exact",
                "birthdate",
                "birthdate",
                "gender",
                "address",
                "phone",
                "email",
                "telecom",
                "identifier",
                "active",
                "_has:CareTeam:patient:participant",
            ],
            "Practitioner" => &[
                "_id",
                "_lastUpdated",
                "name",
                "family",
                "given",
                "family:contains",
                "name:exact",
                "phone",
                "email",
                "telecom",
                "identifier",
                "active",
            ],
            "PractitionerRole" => &["_id", "_lastUpdated", "specialty", "practitioner"],
            "CareTeam" => &["_id", "_lastUpdated", "participant", "participant", "patient", "role", "status"],
            _ => &["_id", "date", "_lastUpdated", "patient", "subject", "status"],
        };
        let name = dice.pick(names);
        let value = |_| {
            let like = &all[dice.below(all.len())];
            self.value(dice, name, like)
        };
        (name.to_string(), (0..=round % 3).map(value).collect())
    }

    /// A value for a parameter, often one that this resource has.
    fn value(&self, dice: &mut Dice, name: &str, like: &Value) -> String {
        let number = |dice: &mut Dice| (1 + dice.below(12)).to_string();
        match name.split(':').next().unwrap_or_default() {
            "_id" => text(like, "/id").to_string(),
            "_lastUpdated" | "date" => {
                let stored = text(like, "/meta/lastUpdated");
                let lengths = [4, 7, 10, 16, 19, stored.len()];
                let cut = dice.pick(&lengths);
                let zone = if (16..20).contains(&cut) { "Z" } else { "" };
                format!("{}{}{zone}", prefix(dice), &stored[..cut])
            }
            "birthdate" => {
                let born = text(like, "/birthDate");
                format!("{}{}", prefix(dice), &born[..dice.pick(&[4, 7, 10])])
            }
            "name" | "family" | "given" if name.ends_with(":exact") => match dice.below(3) {
                0 => text(like, "/name/0/text").to_string(),
                1 => text(like, "/name/0/family").to_string(),
                _ => list(like, "/name/0/given").first().unwrap_or(&"anna").to_string(),
            },
            "name" | "family" | "given" => dice.pick(&WORDS).to_string(),
            "gender" => {
                dice.pick(&["male", "female", "other", "http://hl7.org/fhir/administrative-gender|unknown"]).to_string()
            }
            "address" => dice.pick(&["berl", "STRASSE", "straße", "1", "10115 Berlin", "nowhere"]).to_string(),
            "phone" => dice.pick(&["+49 30 12345", "(49) 30-12346", "4930 12347", "1"]).to_string(),
            "email" => dice.pick(&["P1@example.org", "p2@EXAMPLE.org", "p@example.org"]).to_string(),
            "telecom" => {
                dice.pick(&["phone|493012345", "email|p1@example.org", "p2@example.org", "+49 30 12346"]).to_string()
            }
            "identifier" => {
                let (system, own) = (text(like, "/identifier/0/system"), text(like, "/identifier/0/value"));
                match dice.below(4) {
                    0 => own.to_string(),
                    1 => format!("{system}|{own}"),
                    2 => format!("{}|{own}", self.system),
                    _ => format!("{system}|"),
                }
            }
            "active" => dice.pick(&["true", "true", "false"]).to_string(),
            "_has" | "participant" | "practitioner" => {
                let id = number(dice);
                if dice.below(2) == 0 { id } else { format!("Practitioner/{id}") }
            }
            "patient" | "subject" => text(like, "/subject/reference").to_string(),
            "role" | "specialty" => dice.pick(&["Cardiology", "SURGERY", "ear, nose", "nothing"]).to_string(),
            _ => dice.pick(&["active", "current", "retired"]).to_string(),
        }
    }
}

fn prefix(dice: &mut Dice) -> &'static str {
    dice.pick(&["", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// As R4 has it: repeated is *and*, a comma is *or*, and a comma in a value is escaped.
fn query(asked: &[Asked]) -> String {
    let pair = |(name, values): &Asked| {
        let values: Vec<String> =
            values.iter().map(|value| value.replace('\\', "\\\\").replace(',', "\\,").replace('$', "\\$")).collect();
        format!("{}={}", encoded(name), encoded(&values.join(",")))
    };
    asked.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn all_of(person: &Person, kind: &str) -> Vec<Value> {
    let bundle = person.fhir(&format!("{kind}?_count=500")).resource("Bundle");
    bundle["entry"].as_array().expect("entries").iter().map(|entry| entry["resource"].clone()).collect()
}

#[test]
fn two_hundred_random_searches_of_each_kind_find_what_a_look_at_every_resource_finds() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let mut dice = Dice(18);
    let doctors: Vec<i64> = (0..12)
        .map(|number| {
            let mut doctor = json!({
                "name": dice.pick(&NAMES), "specialization": dice.pick(&["Cardiology", "Surgery", "Ear, Nose"]), "phone": format!("+49 30 1234{}", dice.below(9)),
                "email": format!("p{number}@example.org"),
            });
            if number % 3 == 0 {
                doctor["license_number"] = json!(format!("BE-{}", number / 2 + 1));
            }
            ann.doctor_with(doctor)
        })
        .collect();
    for number in 0..70 {
        let person = if number % 7 == 0 { &bob } else { &ann };
        let mut patient = json!({
            "name": dice.pick(&NAMES), "gender": dice.pick(&["male", "female", "other", "unknown"]),
            "date_of_birth": format!("19{}-0{}-1{}", 8 + dice.below(2), 1 + dice.below(3), dice.below(3)).replace("198-", "1988-").replace("199-", "1990-"),
        });
        for (field, value) in [
            ("phone", format!("+49 30 1234{}", dice.below(9))),
            ("email", format!("P{}@Example.org", dice.below(5))),
            ("address", format!("{} 1\n10115 Berlin", dice.pick(&["Hauptstraße", "Strasse"]))),
            ("medical_history", "Asthma".into()),
        ] {
            if dice.below(2) == 0 {
                patient[field] = json!(value);
            }
        }
        let id = person.patient_with(patient);
        for doctor in doctors.iter().filter(|_| dice.below(6) == 0) {
            person.new_mapping(id, *doctor);
        }
    }
    let system: String =
        app.sql().query_one("select 'urn:uuid:' || id from installation", &[]).expect("its row").get(0);
    let world = World { system, teams: all_of(&ann, "CareTeam") };
    let mut hits = 0;
    for kind in ["Patient", "Practitioner", "PractitionerRole", "CareTeam", "DocumentReference"] {
        let all = all_of(&ann, kind);
        for round in 0..200 {
            let count = dice.below(3);
            let asked: Vec<Asked> = (0..=count).map(|_| world.asked(&mut dice, round, kind, &all)).collect();
            let fits = |resource: &&Value| {
                asked.iter().all(|(name, values)| values.iter().any(|value| world.fits(resource, name, value)))
            };
            let expected: Vec<&str> = all.iter().filter(fits).map(|resource| text(resource, "/id")).collect();
            let query = query(&asked);
            let answer = match round % 2 {
                0 => ann.fhir(&format!("{kind}?_count=500&{query}")),
                _ => by_post(&ann, kind, &format!("_count=500&{query}")),
            };
            let bundle = answer.resource("Bundle");
            assert_eq!(ids(&bundle, "match"), expected, "{kind} {asked:?}");
            assert_eq!(bundle["total"], expected.len(), "{kind} {asked:?}");
            hits += expected.len().min(1);
        }
    }
    assert!(hits > 300, "only {hits} of 1,000 searches found anything");
}
