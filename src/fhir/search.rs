//! Searches: the parameters become one statement, and its rows a bundle.

use std::collections::BTreeSet;

use postgres::Row;

use super::answer;
use super::bundle::{Bundle, Mode, address};
use super::care_team;
use super::criteria::{Context, Criteria};
use super::found::Found;
use super::negotiation::{Negotiated, is_lenient, negotiate};
use super::outcome::{bad_value, not_supported, refused, shortened};
use super::ranges::Ranges;
use super::shape::Shape;
use super::tables::Kind;
use crate::audit::Resource;
use crate::auth::{Actor, User};
use crate::db::Question;
use crate::db::page::PAGE_BYTES;
use crate::envelope::{Response, Shown};
use crate::error::{Error, Result};
use crate::handlers::ask::{Ask, Read};
use crate::sql::Parameters;
use crate::validate::{PAGE_DEFAULT, PAGE_MAX};

/// How many matches a page has if the client does not say.
pub const COUNT_DEFAULT: i64 = 50;
/// How long all parameters may be together.
const PARAMETERS_MAX: usize = 4096;
/// The parameters that shape the answer, and do not select matches.
#[rustfmt::skip]
const OF_THE_RESULT: [&str; 9] =
    ["_count", "_sort", "_total", "_include", "_revinclude", "_summary", "_elements", "_format", "_pretty"];
/// The includes whose two resources are made from one row.
const OF_ONE_ROW: [(&str, Kind, Kind); 3] = [
    ("CareTeam:patient", Kind::CareTeam, Kind::Patient),
    ("DocumentReference:patient", Kind::DocumentReference, Kind::Patient),
    ("PractitionerRole:practitioner", Kind::PractitionerRole, Kind::Practitioner),
];

/// `GET /fhir/R4/Patient` and `POST /fhir/R4/Patient/_search`
pub fn patients(read: &Read, user: &User) -> Result<Ask> {
    Search::read(read, Kind::Patient)?.ask(read, user)
}

/// `GET /fhir/R4/Practitioner` and `POST /fhir/R4/Practitioner/_search`
pub fn practitioners(read: &Read, user: &User) -> Result<Ask> {
    Search::read(read, Kind::Practitioner)?.ask(read, user)
}

/// `GET /fhir/R4/PractitionerRole` and `POST /fhir/R4/PractitionerRole/_search`
pub fn roles(read: &Read, user: &User) -> Result<Ask> {
    Search::read(read, Kind::PractitionerRole)?.ask(read, user)
}

/// `GET /fhir/R4/CareTeam` and `POST /fhir/R4/CareTeam/_search`
pub fn teams(read: &Read, user: &User) -> Result<Ask> {
    Search::read(read, Kind::CareTeam)?.ask(read, user)
}

/// `GET /fhir/R4/DocumentReference` and `POST /fhir/R4/DocumentReference/_search`
pub fn documents(read: &Read, user: &User) -> Result<Ask> {
    Search::read(read, Kind::DocumentReference)?.ask(read, user)
}

/// `GET /fhir/R4/Patient/{id}/CareTeam`: a patient without a team has an empty bundle, and somebody else's is not there.
pub fn team_of_patient(read: &Read, user: &User) -> Result<Ask> {
    let mut search = Search::read(read, Kind::CareTeam)?;
    search.path = format!("Patient/{}/CareTeam", answer::id(read.request)?);
    care_team::find(read, user, move |read, patient, team| {
        let fits = search.criteria.fit_team(&patient, &team);
        let total = Some(i64::from(fits));
        let mut bundle = Bundle::new("searchset", search.url(None), &search.base, &search.shape);
        if fits && !search.wants_count() {
            search.add(read, &mut bundle, &Found::Patient(patient, team), &mut BTreeSet::new());
        }
        bundle.warn(&search.warnings);
        bundle.total = total;
        Ok(bundle.answer())
    })
}

/// One search.
struct Search {
    kind: Kind,
    /// The address of the base.
    base: String,
    /// The path behind the base.
    path: String,
    criteria: Criteria,
    shape: Shape,
    count: i64,
    sort: &'static str,
    backwards: bool,
    /// The values of `_include` and `_revinclude`.
    along: Vec<&'static str>,
    wants_total: bool,
    position: Option<Position>,
    /// The position, as the client sent it.
    cursor: Option<String>,
    /// The parameters that are in force, for the links.
    used: Vec<(String, String)>,
    warnings: Vec<String>,
}

/// Where a page begins: behind this value of the sorted element, and this id. The total, if there is one, goes along, because it is
/// counted once.
type Position = (Option<String>, i64, Option<i64>);

impl Search {
    fn read(read: &Read, kind: Kind) -> Result<Search> {
        let Negotiated { base, parameters } = negotiate(read.config, read.request)?;
        let mut search = Search {
            kind,
            base,
            path: kind.table().name.to_string(),
            criteria: Criteria::default(),
            shape: Shape::default(),
            count: COUNT_DEFAULT,
            sort: "_id",
            backwards: false,
            along: Vec::new(),
            wants_total: false,
            position: None,
            cursor: None,
            used: Vec::new(),
            warnings: Vec::new(),
        };
        if parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > PARAMETERS_MAX {
            return Err(refused(400, "too-long", format!("The parameters may have {PARAMETERS_MAX} bytes together")));
        }
        for (name, value) in
            parameters.into_iter().filter(|(name, value)| name != "_totalMethod" && !value.trim().is_empty())
        {
            if name == "_cursor" {
                if search.cursor.replace(value).is_some() {
                    return Err(bad_value("_cursor must not be repeated"));
                }
                continue;
            }
            let is_result = OF_THE_RESULT.contains(&name.as_str());
            if is_result && !name.ends_with("include") && search.used.iter().any(|(used, _)| *used == name) {
                return Err(bad_value(format!("{name} must not be repeated")));
            }
            let taken = if is_result {
                search.take(&name, &value)
            } else {
                let context = Context { kind, installation: read.installation, base: &search.base };
                search.criteria.add(&context, &name, &value)
            };
            match taken {
                Ok(()) => search.used.push((name, value)),
                Err(error) => search.warnings.push(forgiven(error, is_lenient(read.request))?),
            }
        }
        if let Some(cursor) = &search.cursor {
            let position = read.cursors.open(&search.list(), cursor);
            search.position =
                Some(position.ok_or_else(|| bad_value("_cursor must be the one from the next link of this search"))?);
        }
        Ok(search)
    }

    /// Takes a parameter that shapes the answer.
    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        let table = self.kind.table();
        match name {
            "_count" => self.count = count(value)?,
            "_sort" => {
                let (backwards, sort) = value.strip_prefix('-').map_or((false, value), |sort| (true, sort));
                let sort = table.sorts.iter().find(|known| **known == sort).ok_or_else(|| {
                    not_supported(format!("_sort must be one of {}, or that with a -", table.sorts.join(", ")))
                })?;
                (self.backwards, self.sort) = (backwards, sort);
            }
            "_total" => match value {
                "accurate" | "estimate" => self.wants_total = true,
                "none" => {}
                _ => return Err(bad_value("_total must be none, estimate or accurate")),
            },
            "_include" | "_revinclude" => {
                let known = if name == "_include" { table.includes } else { table.revincludes };
                let (path, wanted) = match value.match_indices(':').nth(1) {
                    Some((end, _)) => (&value[..end], Some(&value[end + 1..])),
                    None => (value, None),
                };
                let target = match path {
                    "CareTeam:participant" | "PractitionerRole:practitioner" => "Practitioner",
                    _ => "Patient",
                };
                let fits = |known: &&&str| **known == path && wanted.is_none_or(|wanted| wanted == target);
                let refusal = || format!("{name}={} is not supported by a search for {}", shortened(value), table.name);
                self.along.push(known.iter().find(fits).ok_or_else(|| not_supported(refusal()))?);
            }
            _ => {
                self.shape.take(name, value)?;
            }
        }
        Ok(())
    }

    /// Whether only the number of matches is wanted.
    fn wants_count(&self) -> bool {
        self.count == 0 || self.shape.is_count()
    }

    /// The question: that of a list of `/api` if there are no criteria, else that of a search.
    fn ask(self, read: &Read, user: &User) -> Result<Ask> {
        let owners = user.owners();
        let (after_value, after) = match &self.position {
            Some((value, id, _)) => (value.as_deref(), Some(*id)),
            None => (None, None),
        };
        let counts = self.wants_count() || (self.wants_total && self.position.is_none());
        let rows_wanted = if self.wants_count() { 1 } else { self.count + 1 };
        let with_team = self.kind == Kind::CareTeam || self.brings("CareTeam:patient");
        let is_plain =
            self.criteria.is_empty() && self.sort == "_id" && !self.backwards && !counts && self.count <= PAGE_DEFAULT;
        let (criteria, names) = (&self.criteria, self.criteria.names());
        let (changed_from, changed_until) = criteria.changed.as_ref().map(Ranges::bounds).unzip();
        // Both statements begin with these.
        let common: Parameters = &[
            &self.sort,
            &self.backwards,
            &after,
            &after_value,
            &rows_wanted,
            &criteria.ids,
            &names,
            &criteria.telecoms,
            &changed_from,
            &changed_until,
            &criteria.roles,
            &counts,
            &criteria.families,
            &criteria.givens,
            &criteria.exact_names,
        ];
        let question = if self.kind.is_of_doctors() {
            if is_plain {
                Question::new(&read.sql.doctors.list, &[&after.unwrap_or(0), &rows_wanted])?
            } else {
                let (licences, records) = criteria.identified().unzip();
                let own: Parameters = &[&criteria.identifiers, &licences, &records];
                Question::new(&read.sql.fhir.doctors, &[common, own].concat())?
            }
        } else if is_plain && self.kind == Kind::Patient && !with_team && owners.are_few() {
            let patients = &read.sql.patients;
            let list = if owners.is_one() { &patients.list } else { &patients.list_of_several };
            owners.ask(list, &[&after.unwrap_or(0), &rows_wanted])?
        } else {
            let (born_from, born_until) = criteria.born.as_ref().map(Ranges::bounds).unzip();
            let (of_teams, of_histories) = (self.kind == Kind::CareTeam, self.kind == Kind::DocumentReference);
            let Criteria { genders, addresses, doctors, .. } = criteria;
            let own: Parameters =
                &[genders, &born_from, &born_until, addresses, doctors, &of_teams, &of_histories, &with_team];
            owners.ask(&read.sql.fhir.patients, &[common, own].concat())?
        };
        Ok(Ask::many(question, move |read, rows| self.answer(read, &rows, counts, with_team)))
    }

    /// The bundle. `rows` has one row more than the page if the search continues.
    fn answer(self, read: &Read, rows: &[Row], counts: bool, with_team: bool) -> Result<Response> {
        let counted = || rows.first().map_or(0, |row| row.get::<_, Option<i64>>("total").unwrap_or(0));
        let total = if counts { Some(counted()) } else { self.position.as_ref().and_then(|(_, _, total)| *total) };
        let page = &rows[..if self.wants_count() { 0 } else { self.fitting(rows) }];
        let mut bundle = Bundle::new("searchset", self.url(None), &self.base, &self.shape);
        let found = |row| Found::of(row, self.kind, with_team);
        let mut included = BTreeSet::new();
        for row in page {
            self.add(read, &mut bundle, &found(row), &mut included);
        }
        if let Some(last) = page.last().filter(|_| page.len() < rows.len()) {
            let last = found(last);
            let position: Position = (last.value(self.sort, self.kind), last.id(), total);
            let cursor = read.cursors.seal(&self.list(), &position);
            bundle.continues(self.url(Some(&cursor)));
            bundle.total = total;
        } else {
            // A first page without a next one is everything.
            bundle.total =
                total.or_else(|| self.position.is_none().then(|| i64::try_from(page.len()).unwrap_or(i64::MAX)));
        }
        bundle.warn(&self.warnings);
        let response = bundle.answer();
        let ids = || page.iter().map(|row| row.get("id")).collect();
        Ok(match self.kind.is_of_doctors() {
            true => response,
            false => response.showing(Shown::List(Resource::Patient, ids())),
        })
    }

    /// How many of these rows are the page: as many as the client wants, or as fit; at least one.
    fn fitting(&self, rows: &[Row]) -> usize {
        let mut bytes = 0;
        let fits = |row: &&Row| {
            bytes += row.raw_size_bytes();
            bytes <= PAGE_BYTES
        };
        let wanted = rows.iter().take(usize::try_from(self.count).unwrap_or(usize::MAX));
        wanted.take_while(fits).count().max(1).min(rows.len())
    }

    /// Adds a match and what it brings along. `included` are the doctors that the bundle already has.
    fn add(&self, read: &Read, bundle: &mut Bundle, found: &Found, included: &mut BTreeSet<i64>) {
        found.show(read, bundle, self.kind, Mode::Match);
        for (_, one, other) in OF_ONE_ROW.iter().filter(|(path, ..)| self.brings(path)) {
            found.show(read, bundle, if self.kind == *one { *other } else { *one }, Mode::Include);
        }
        if self.brings("CareTeam:participant")
            && let Found::Patient(_, team) = found
        {
            for doctor in team.members.iter().map(|member| &member.doctor).filter(|doctor| included.insert(doctor.id)) {
                bundle.add("Practitioner", doctor.id, &doctor.practitioner(read.installation), Mode::Include);
            }
        }
    }

    fn brings(&self, path: &str) -> bool {
        self.along.contains(&path)
    }

    /// The search to which a cursor is bound: its criteria and its order.
    fn list(&self) -> String {
        let criteria = self.used.iter().filter(|(name, _)| name == "_sort" || !OF_THE_RESULT.contains(&name.as_str()));
        criteria.fold(self.path.clone(), |list, (name, value)| format!("{list}&{name}={value}"))
    }

    /// The address of this page, or of the one that the cursor leads to.
    fn url(&self, cursor: Option<&str>) -> String {
        address(&format!("{}/{}", self.base, self.path), &self.used, cursor.or(self.cursor.as_deref()))
    }
}

/// `_count`: how many entries a page has at most.
pub fn count(value: &str) -> Result<i64> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_value("_count must be a whole number from 0"));
    }
    Ok(value.parse().unwrap_or(PAGE_MAX).min(PAGE_MAX))
}

/// The warning about a parameter that a lenient search leaves out; any other error stays one.
fn forgiven(error: Error, is_lenient: bool) -> Result<String> {
    match &error {
        Error::Refused(refusal) if is_lenient && refusal.issues.iter().all(|issue| issue.code == "not-supported") => {
            Ok(refusal.issues.iter().map(|issue| issue.text.to_string()).collect::<Vec<_>>().join("; "))
        }
        _ => Err(error),
    }
}
