//! `$everything`: all that is shown of one patient, in one bundle.

use jiff::Timestamp;

use super::answer;
use super::bundle::{Bundle, Mode, address};
use super::care_team::{self, CareTeam};
use super::document_reference::{self, DocumentReference};
use super::negotiation::{Negotiated, negotiate};
use super::outcome::{bad_value, not_supported, shortened};
use super::practitioner_role::PractitionerRole;
use super::ranges::Moment;
use super::shape::Shape;
use crate::auth::User;
use crate::error::Result;
use crate::handlers::ask::{Ask, Read};

/// The types that the bundle may have, in its order.
const TYPES: [&str; 5] = ["Patient", "CareTeam", "DocumentReference", "Practitioner", "PractitionerRole"];

/// `GET` and `POST /fhir/R4/Patient/{id}/$everything`: the patient, the team, the history, and the doctors of the team with what they do.
/// `_since` leaves out what has not changed since, `_type` all but these types.
pub fn everything(read: &Read, user: &User) -> Result<Ask> {
    let (mut shape, mut since, mut types) = (Shape::default(), None, None);
    let Negotiated { base, parameters } = negotiate(read.config, read.request)?.each_once()?;
    for (name, value) in &parameters {
        match name.as_str() {
            "_since" => since = Some(Timestamp::range("_since", value)?.0),
            "_type" => {
                let listed = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                let listed = listed.map(known_type).collect::<Result<Vec<_>>>()?;
                types = Some(listed).filter(|listed| !listed.is_empty());
                types.as_ref().ok_or_else(|| bad_value("_type has separators and nothing else"))?;
            }
            _ if shape.take(name, value)? && !shape.is_count() => {}
            _ => return Err(not_supported(format!("{} is not supported by $everything", shortened(name)))),
        }
    }
    let id = answer::id(read.request)?;
    care_team::find(read, user, move |read, patient, team| {
        let own = address(&format!("{base}/Patient/{id}/$everything"), &parameters, None);
        let mut bundle = Bundle::new("searchset", own, &base, &shape);
        let is_wanted = |type_name: &str, changed_at: Timestamp| {
            types.as_ref().is_none_or(|types| types.contains(&type_name))
                && since.is_none_or(|since| changed_at >= since)
        };
        if is_wanted("Patient", patient.updated_at) {
            bundle.add("Patient", id, &patient.patient(read.installation), Mode::Match);
        }
        if let Some(resource) = CareTeam::of(&patient, &team)
            && is_wanted("CareTeam", team.meta(&patient).last_updated)
        {
            bundle.add("CareTeam", id, &resource, Mode::Match);
        }
        if let Some(document) = DocumentReference::of(&patient)
            && is_wanted("DocumentReference", patient.updated_at)
        {
            bundle.add("DocumentReference", document_reference::id(id), &document, Mode::Match);
        }
        for doctor in team.members.iter().map(|member| &member.doctor) {
            if is_wanted("Practitioner", doctor.updated_at) {
                bundle.add("Practitioner", doctor.id, &doctor.practitioner(read.installation), Mode::Match);
            }
            if is_wanted("PractitionerRole", doctor.updated_at) {
                bundle.add("PractitionerRole", doctor.id, &PractitionerRole::of(doctor), Mode::Match);
            }
        }
        bundle.total = Some(bundle.count);
        Ok(bundle.answer())
    })
}

fn known_type(name: &str) -> Result<&'static str> {
    let known = TYPES.into_iter().find(|known| *known == name);
    known.ok_or_else(|| {
        not_supported(format!("$everything has no {}: _type takes {}", shortened(name), TYPES.join(", ")))
    })
}
