//! The parts of a name, which we store as one text. `name_parts` in `sql/migrations` splits it the same way, so that a search for a
//! part finds what a read shows.

use super::datatypes::{HumanName, shown};

/// The titles that may stand before a doctor's name.
const TITLES: [&str; 2] = ["Dr.", "Prof."];

/// The name of a patient.
pub fn of_patient(name: &str) -> HumanName {
    split(name, false)
}

/// The name of a doctor, whose titles are no given names.
pub fn of_doctor(name: &str) -> HumanName {
    split(name, true)
}

/// "Family, Given …" at a comma, else the last word is the family. Without a family, the family is the whole text.
fn split(name: &str, may_have_titles: bool) -> HumanName {
    let text = shown(name).unwrap_or_default().into_owned();
    let mut words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let titles = words.iter().take_while(|word| may_have_titles && TITLES.contains(word)).count();
    let prefix = words.drain(..titles).map(str::to_string).collect();
    let rest = words.join(" ");
    let (family, given) = match rest.split_once(',') {
        Some((family, given)) => (family.trim(), given),
        None => rest.rsplit_once(' ').map_or((rest.as_str(), ""), |(given, family)| (family, given)),
    };
    let given = given.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_string).collect();
    let family = if family.is_empty() { text.clone() } else { family.to_string() };
    HumanName { text, family, given, prefix }
}
