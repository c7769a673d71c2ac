//! The database agrees with everything that people were told.

use std::collections::{BTreeMap, BTreeSet};

use crate::clinic::Clinic;
use crate::people::Notes;

/// All patients that there ever were: each with its id, its name and whether it is there.
const PATIENTS: &str = "
    select id, name, true from patients
     union
    select record_id, record ->> 'name', false from record_versions v
     where resource = 'patient' and ended_by = 'delete' and not exists (select from patients where id = v.record_id)";
/// Every version of every patient that is not in the trail exactly once. A create makes version 1, which its entry does not repeat, and a
/// later change has the version that it replaced.
const UNTRACED: &str = "
    with changes as (
        select id as record_id, 'create' as action, null::bigint as version from patients
         union
        select record_id, 'create', null from record_versions where resource = 'patient'
         union all
        select record_id, ended_by, version from record_versions where resource = 'patient')
    select record_id, action, version, count(e.id)
      from changes c
      left join audit_entries e on e.resource = 'patient' and e.resource_id = c.record_id and e.action = c.action
       and (c.action = 'create' or e.version = c.version)
     group by record_id, c.action, c.version
    having count(e.id) <> 1";

pub fn the_database_agrees(clinic: &Clinic, notes: &Notes) {
    assert!(notes.wrong.is_empty(), "{:#?}", notes.wrong);
    everybody_is_registered_once(clinic, notes);
    no_change_of_the_shared_patient_is_lost(clinic, notes);
    assert_eq!(clinic.ask(UNTRACED), Vec::<String>::new(), "changes that the trail has not, or twice");
    let logins = clinic.ask("select count(*) from audit_entries where action = 'login' and outcome = 'success'");
    let logins: usize = logins[0].parse().expect("a count");
    assert!(logins >= notes.logins, "{logins} logins in the trail, {} acknowledged", notes.logins);
}

fn everybody_is_registered_once(clinic: &Clinic, notes: &Notes) {
    let mut ids: BTreeMap<String, Vec<(i64, bool)>> = BTreeMap::new();
    for line in clinic.ask(PATIENTS) {
        let [id, name, is_there] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        ids.entry(name.to_string()).or_default().push((id.parse().expect("an id"), is_there == "t"));
    }
    let doubled: Vec<_> = ids.iter().filter(|(name, ids)| name.starts_with("person-") && ids.len() > 1).collect();
    assert!(doubled.is_empty(), "registered twice: {doubled:?}");
    let deleted: BTreeSet<i64> = notes.deleted.iter().copied().collect();
    for (name, id) in &notes.created {
        assert_eq!(
            ids.get(name),
            Some(&vec![(*id, !deleted.contains(id))]),
            "{name}: acknowledged, and not as it was left"
        );
    }
}

/// Each change read the version before it: the visits that it counts are one less than its version.
fn no_change_of_the_shared_patient_is_lost(clinic: &Clinic, notes: &Notes) {
    let versions = clinic.ask(
        "select version, record ->> 'address' from record_versions
          where resource = 'patient' and record_id = (select id from patients where name = 'Shared')
          union all
         select version, address from patients where name = 'Shared' order by version",
    );
    for (number, line) in (1_i64..).zip(&versions) {
        assert!(line.starts_with(&format!("{number}|visit {}", number - 1)), "version {number}: {line}");
    }
    let written: BTreeSet<&str> = versions.iter().map(String::as_str).collect();
    for (version, text) in &notes.updated {
        assert!(written.contains(format!("{version}|{text}").as_str()), "acknowledged and lost: {version}, {text}");
    }
}
