//! The parts of a name, which we store as one text. `name_parts` in `sql/migrations` splits it the same way, so that a search for a
//! part finds what a read shows.

use serde::{Serialize, Serializer};

use super::datatypes::{HumanName, shown};

/// The titles that may stand before a doctor's name.
const TITLES: [&str; 2] = ["Dr.", "Prof."];

/// Shows the name of a patient.
pub fn of_patient<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    split(name, false, |name| [name].serialize(serializer))
}

/// Shows the name of a doctor, whose titles are no given names.
pub fn of_doctor<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    split(name, true, |name| [name].serialize(serializer))
}

/// The family of a patient.
pub fn family(name: &str) -> String {
    split(name, false, |name| name.family.to_string())
}

/// "Family, Given …" at a comma, else the last word is the family. Without a family, the family is the whole text.
fn split<T>(name: &str, may_have_titles: bool, show: impl FnOnce(&HumanName) -> T) -> T {
    let text = &*shown(name).unwrap_or_default();
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let titles = words.iter().take_while(|word| may_have_titles && TITLES.contains(word)).count();
    let (prefix, words) = words.split_at(titles);
    let (joined, behind): (String, Vec<&str>);
    let (family, given) = if text.contains(',') {
        joined = words.join(" ");
        let (family, rest) = joined.split_once(',').unwrap_or_default();
        behind = rest.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        (family.trim(), behind.as_slice())
    } else {
        words.split_last().map_or(("", words), |(family, given)| (*family, given))
    };
    show(&HumanName { text, family: if family.is_empty() { text } else { family }, given, prefix })
}
