//! The criteria of a search: its parameters become those of the statements in `sql/fhir.sql`.

use jiff::Timestamp;
use jiff::civil::Date;

use super::care_team::Team;
use super::datatypes::shown;
use super::outcome::{bad_value, not_supported, refused, shortened};
use super::ranges::{Moment, Ranges};
use super::tables::{HAS_PARTICIPANT, Kind, Meaning};
use super::{answer, document_reference, patient, practitioner};
use crate::error::Result;
use crate::records::GENDERS;

/// How many values a comma may join…
const ALTERNATIVES_MAX: usize = 20;
/// …and how many ids.
const IDS_MAX: usize = 100;
/// From how many characters on an index of trigrams finds a text.
const TRIGRAM: usize = 3;

/// The criteria of one search. `None` asks for nothing. `ids` and `genders` list what can still match; of any other list, each element must
/// be met.
#[derive(Debug, Default, PartialEq)]
pub struct Criteria {
    /// An empty list matches nobody.
    pub ids: Option<Vec<i64>>,
    /// Texts in the name, as `text_pattern` in `sql/migrations` reads them. A criterion for a part of the name, or for the exact name, is
    /// here as well, because this is where the index helps.
    names: Option<Vec<String>>,
    pub families: Option<Vec<String>>,
    pub givens: Option<Vec<String>>,
    pub exact_names: Option<Vec<String>>,
    pub telecoms: Option<Vec<String>>,
    pub genders: Option<Vec<&'static str>>,
    pub born: Option<Ranges<Date>>,
    pub changed: Option<Ranges<Timestamp>>,
    pub addresses: Option<Vec<String>>,
    /// Each element lists doctors, of whom the team must have one.
    pub doctors: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
    /// See `doctors` in `sql/fhir.sql`.
    pub identifiers: Option<Vec<String>>,
}

/// The facts about this request that criteria are compared with.
pub struct Context<'a> {
    pub kind: Kind,
    pub installation: &'a str,
    pub base: &'a str,
}

impl Criteria {
    /// Adds a parameter that has a value. Fails if it is not supported, or cannot be read.
    pub fn add(&mut self, context: &Context, name: &str, value: &str) -> Result<()> {
        let table = context.kind.table();
        if name == HAS_PARTICIPANT && context.kind == Kind::Patient {
            let values = alternatives(name, value, ALTERNATIVES_MAX)?;
            return self.take(context, name, Meaning::Participant, None, &values);
        }
        let (base_name, modifier) =
            name.split_once(':').map_or((name, None), |(name, modifier)| (name, Some(modifier)));
        let known = table.parameters.iter().find(|parameter| parameter.name == base_name);
        let Some(parameter) = known else {
            return Err(not_supported(format!("{} is not a search parameter of {}", shortened(name), table.name)));
        };
        if modifier.is_some_and(|modifier| !parameter.meaning.modifiers().contains(&modifier)) {
            return Err(not_supported(format!(
                "{} is not supported: {} has no such modifier",
                shortened(name),
                parameter.name
            )));
        }
        let most = if parameter.meaning == Meaning::Id { IDS_MAX } else { ALTERNATIVES_MAX };
        let values = alternatives(name, value, most)?;
        self.take(context, name, parameter.meaning, modifier, &values)
    }

    fn take(
        &mut self,
        context: &Context,
        name: &str,
        meaning: Meaning,
        modifier: Option<&str>,
        values: &[String],
    ) -> Result<()> {
        let texts = || values.iter().map(|value| unescaped(value)).collect::<Vec<String>>();
        let tokens = || values.iter().map(|value| Token::read(name, value)).collect::<Result<Vec<Token>>>();
        let lines = |start: &str| format!("{start}{}", texts().join("\n"));
        match meaning {
            Meaning::Id => {
                let id = |text: &String| match context.kind {
                    Kind::DocumentReference => document_reference::patient_id(text),
                    _ => answer::parse_id(text),
                };
                keep(&mut self.ids, texts().iter().filter_map(id).collect());
            }
            Meaning::Changed => narrow(&mut self.changed, Ranges::of(name, &texts())?),
            Meaning::BirthDate => narrow(&mut self.born, Ranges::of(name, &texts())?),
            Meaning::Name | Meaning::Family | Meaning::Given => {
                let mode = if modifier == Some("contains") { '*' } else { '^' };
                let (part, of_part) = match meaning {
                    Meaning::Name => ('n', None),
                    Meaning::Family => ('f', Some(&mut self.families)),
                    _ => ('g', Some(&mut self.givens)),
                };
                require(&mut self.names, lines(&format!("n{mode}")));
                if modifier == Some("exact") {
                    require(&mut self.exact_names, lines(&format!("{part}=")));
                } else if let Some(criteria) = of_part {
                    require(criteria, lines(&format!("{part}{mode}")));
                }
            }
            Meaning::Address => require(&mut self.addresses, lines("a*")),
            Meaning::Role => {
                let words =
                    tokens()?.into_iter().filter(|token| token.system.as_deref().unwrap_or_default().is_empty());
                let words: Vec<String> = words.filter_map(|token| token.code).collect();
                self.nobody_if_empty(&words);
                require(&mut self.roles, words.join("\n"));
            }
            Meaning::Gender => {
                let tokens = tokens()?;
                let is_wanted = |code: &&str| {
                    tokens.iter().any(|token| token.is("http://hl7.org/fhir/administrative-gender", code))
                };
                keep(&mut self.genders, GENDERS.iter().copied().filter(is_wanted).collect());
            }
            Meaning::Identifier if context.kind == Kind::Patient => {
                let tokens = tokens()?;
                let of_us = |token: &&Token| token.is_of(context.installation);
                if !tokens.iter().filter(of_us).any(|token| token.code.is_none()) {
                    keep(&mut self.ids, tokens.iter().filter(of_us).filter_map(Token::id).collect());
                }
            }
            Meaning::Identifier => {
                let items = identifiers(context, &tokens()?);
                self.nobody_if_empty(&items);
                require(&mut self.identifiers, items.join("\n"));
            }
            Meaning::Phone | Meaning::Email | Meaning::Telecom => {
                let items = tokens()?.iter().filter_map(|token| telecom(meaning, token)).collect::<Vec<_>>();
                self.nobody_if_empty(&items);
                require(&mut self.telecoms, items.join("\n"));
            }
            Meaning::Active => {
                self.all_or_none(&tokens()?, "http://terminology.hl7.org/CodeSystem/special-values", "true")
            }
            Meaning::TeamStatus => self.all_or_none(&tokens()?, "http://hl7.org/fhir/care-team-status", "active"),
            Meaning::DocumentStatus => {
                self.all_or_none(&tokens()?, "http://hl7.org/fhir/document-reference-status", "current")
            }
            Meaning::DocumentType => {
                self.all_or_none(&tokens()?, document_reference::HISTORY.system, document_reference::HISTORY.code);
            }
            Meaning::Category => {
                self.all_or_none(&tokens()?, document_reference::NOTE.system, document_reference::NOTE.code)
            }
            Meaning::Patient => keep(&mut self.ids, references(context, "Patient", &texts())),
            Meaning::Practitioner => keep(&mut self.ids, references(context, "Practitioner", &texts())),
            Meaning::Participant => {
                let ids = references(context, "Practitioner", &texts());
                require(&mut self.doctors, ids.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
            }
        }
        Ok(())
    }

    /// The names, behind one more that only finds candidates in the index: the one with the longest words, or an empty text if all are
    /// too short for the index.
    pub fn names(&self) -> Option<Vec<String>> {
        let names = self.names.as_ref()?;
        let candidates = names.iter().max_by_key(|criterion| longest_word(criterion))?;
        let candidates = if longest_word(candidates) < TRIGRAM { String::new() } else { candidates.clone() };
        Some([vec![candidates], names.clone()].concat())
    }

    /// The licence numbers and the ids of the first criterion for identifiers, if all are known.
    pub fn identified(&self) -> Option<(Vec<&str>, Vec<i64>)> {
        let items: Vec<&str> = self.identifiers.as_ref()?.first()?.split('\n').collect();
        if items.contains(&"L") || items.contains(&"I") {
            return None;
        }
        let licences = items.iter().filter_map(|item| item.strip_prefix('l')).collect();
        Some((licences, items.iter().filter_map(|item| answer::parse_id(item.strip_prefix('i')?)).collect()))
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Criteria::default()
    }

    /// Whether a patient has a team that fits.
    pub fn fit_team(&self, patient: &patient::Columns, team: &Team) -> bool {
        let doctors = || team.members.iter().map(|member| &member.doctor);
        let has_doctor = |ids: &String| doctors().any(|doctor| ids.split(',').any(|id| id == doctor.id.to_string()));
        let has_role = |words: &String| {
            let words = words.to_lowercase();
            let role = |doctor: &practitioner::Columns| shown(&doctor.specialization).map(|text| text.to_lowercase());
            doctors().filter_map(role).any(|role| words.split('\n').any(|word| word == role))
        };
        doctors().next().is_some()
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&patient.id))
            && self.doctors.iter().flatten().all(has_doctor)
            && self.roles.iter().flatten().all(has_role)
            && self.changed.as_ref().is_none_or(|ranges| ranges.contain(team.meta(patient).last_updated))
    }

    /// A criterion without any value that a record could have matches nobody.
    fn nobody_if_empty(&mut self, items: &[String]) {
        if items.is_empty() {
            keep(&mut self.ids, Vec::new());
        }
    }

    /// Every record has this code, so that any other matches nobody.
    fn all_or_none(&mut self, tokens: &[Token], system: &str, code: &str) {
        if !tokens.iter().any(|token| token.is(system, code)) {
            keep(&mut self.ids, Vec::new());
        }
    }
}

/// Adds one more criterion that must be met.
fn require(criteria: &mut Option<Vec<String>>, criterion: String) {
    criteria.get_or_insert_default().push(criterion);
}

/// From now on only these values can match.
fn keep<T: PartialEq>(values: &mut Option<Vec<T>>, wanted: Vec<T>) {
    match values {
        Some(values) => values.retain(|value| wanted.contains(value)),
        None => *values = Some(wanted),
    }
}

/// The same for dates.
fn narrow<T: Moment>(ranges: &mut Option<Ranges<T>>, wanted: Ranges<T>) {
    *ranges = Some(match ranges.take() {
        Some(before) => before.and(&wanted),
        None => wanted,
    });
}

/// A token: `code`, `system|code`, `|code` or `system|`.
struct Token {
    system: Option<String>,
    code: Option<String>,
}

impl Token {
    fn read(name: &str, value: &str) -> Result<Token> {
        let Some(bar) = unescaped_at(value, '|') else {
            return Ok(Token { system: None, code: Some(unescaped(value)) });
        };
        let (system, code) = (unescaped(&value[..bar]), unescaped(&value[bar + 1..]));
        if system.is_empty() && code.is_empty() {
            return Err(bad_value(format!("{} has a | and nothing else", shortened(name))));
        }
        Ok(Token { system: Some(system), code: Some(code).filter(|code| !code.is_empty()) })
    }

    /// Whether it names this system, or none.
    fn is_of(&self, system: &str) -> bool {
        self.system.as_deref().is_none_or(|sent| sent == system)
    }

    /// Whether it stands for this code of this system.
    fn is(&self, system: &str, code: &str) -> bool {
        self.is_of(system) && self.code.as_deref().is_none_or(|sent| sent == code)
    }

    fn id(&self) -> Option<i64> {
        answer::parse_id(self.code.as_deref()?)
    }
}

/// The values that commas join, still escaped.
fn alternatives(name: &str, value: &str, most: usize) -> Result<Vec<String>> {
    let (mut rest, mut values) = (value, Vec::new());
    loop {
        let end = unescaped_at(rest, ',').unwrap_or(rest.len());
        let part = rest[..end].trim();
        if !part.is_empty() {
            values.push(part.replace('\n', " "));
        }
        match rest.get(end + 1..) {
            Some(after) => rest = after,
            None => break,
        }
    }
    match values.len() {
        0 => Err(bad_value(format!("{} has separators and nothing else", shortened(name)))),
        count if count > most => Err(refused(400, "too-long", format!("{} may have {most} values", shortened(name)))),
        _ => Ok(values),
    }
}

/// The position of the first such character without a backslash before it.
fn unescaped_at(text: &str, sign: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, next)| {
        let is_there = next == sign && !is_escaped;
        is_escaped = next == '\\' && !is_escaped;
        is_there.then_some(at)
    })
}

/// The text without the backslashes before `,`, `|`, `$` and `\`.
fn unescaped(text: &str) -> String {
    let (mut plain, mut signs) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(sign) = signs.next() {
        match signs.peek() {
            Some(next) if sign == '\\' && matches!(next, ',' | '|' | '$' | '\\') => plain.extend(signs.next()),
            _ => plain.push(sign),
        }
    }
    plain
}

/// The identifiers of doctors for which these tokens stand, as `doctors` in `sql/fhir.sql` reads them.
fn identifiers(context: &Context, tokens: &[Token]) -> Vec<String> {
    let licences = practitioner::licences(context.installation);
    let kinds = [(licences.as_str(), "L", 'l'), (context.installation, "I", 'i')];
    let items = |token: &Token| {
        let of = kinds.iter().filter(|(system, ..)| token.is_of(system));
        let item = |(_, any, one): &(&str, &str, char)| match &token.code {
            Some(code) => format!("{one}{code}"),
            None => any.to_string(),
        };
        of.map(item).collect::<Vec<String>>()
    };
    tokens.iter().flat_map(items).collect()
}

/// The telephone number or the e-mail address for which a token stands, as `telecom_fits` in `sql/migrations` reads it.
fn telecom(meaning: Meaning, token: &Token) -> Option<String> {
    let code = token.code.as_deref().unwrap_or_default();
    let system = match (meaning, token.system.as_deref()) {
        (Meaning::Phone, _) => "phone",
        (Meaning::Email, _) => "email",
        (_, Some(system)) => system,
        (_, None) if code.contains('@') => "email",
        (_, None) => "phone",
    };
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    match system {
        _ if !token.is_of(system) => None,
        "email" if !code.is_empty() => Some(format!("e{}", code.to_lowercase())),
        "phone" if !digits.is_empty() => Some(format!("p{digits}")),
        _ => None,
    }
}

/// The ids of references to records of this type: `42`, `Patient/42`, or its address here. Other references match nobody.
fn references(context: &Context, kind: &str, values: &[String]) -> Vec<i64> {
    let id = |value: &String| {
        let own = value.strip_prefix(context.base).and_then(|path| path.strip_prefix('/')).unwrap_or(value);
        answer::parse_id(own.strip_prefix(kind).and_then(|path| path.strip_prefix('/')).unwrap_or(own))
    };
    values.iter().filter_map(id).collect()
}

/// The length of the longest word of each text of a criterion for names, and of these the shortest: an index must find every text.
fn longest_word(criterion: &str) -> usize {
    let longest = |text| str::split(text, ' ').map(|word| word.chars().count()).max().unwrap_or(0);
    criterion[2..].split('\n').map(longest).min().unwrap_or(0)
}
