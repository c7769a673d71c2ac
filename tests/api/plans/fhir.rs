//! The plans of the searches of FHIR, on the same million patients.

use super::{Filled, LARGE, PAGE, SMALL};

/// The parameters of a search for patients, of which some are asked for.
fn patients(owner: i64, sort: &str, backwards: bool, after: &str, criteria: &[(usize, &str)]) -> Vec<String> {
    let (id, value) = after.split_once(' ').unwrap_or((after, "null"));
    let mut values = vec![
        format!("'{{{owner}}}'"),
        format!("'{sort}'"),
        backwards.to_string(),
        id.into(),
        value.into(),
        PAGE.to_string(),
    ];
    values.resize(24, "null".into());
    for flag in [13, 22, 23, 24] {
        values[flag - 1] = "false".into();
    }
    for (number, value) in criteria {
        values[number - 1] = value.to_string();
    }
    values
}

/// The same for doctors.
fn doctors(sort: &str, backwards: bool, criteria: &[(usize, &str)]) -> Vec<String> {
    let mut values = vec![format!("'{sort}'"), backwards.to_string(), "null".into(), "null".into(), PAGE.to_string()];
    values.resize(18, "null".into());
    values[11] = "false".into();
    for (number, value) in criteria {
        values[number - 1] = value.to_string();
    }
    values
}

pub fn searches(filled: &mut Filled) {
    // Every order that has an index, at the start and deep in, forwards and backwards, with and without a common criterion.
    for (sort, deep, index) in [
        ("_id", "900000", "patients_created_by_id_idx"),
        ("name", "500000 'Finn Huber 500'", "patients_created_by_name_idx"),
        ("birthdate", "1 '1970-01-01'", "patients_created_by_date_of_birth_idx"),
        ("_lastUpdated", "345600 '2026-02-05Z'", "patients_created_by_updated_at_idx"),
    ] {
        for (backwards, after) in [(false, "null"), (true, "null"), (false, deep), (true, deep)] {
            let values = patients(LARGE, sort, backwards, after, &[]);
            filled.page_of(|sql| sql.fhir.patients.limited_by_owners(), &values, &[index, "patients_pkey"]);
            // Names of one sort stand together in the order of names: only a part that all sorts have comes soon.
            let mut common = vec![(17, "'{male}'"), (8, "array['', 'n*er']")];
            if sort == "_id" {
                common.push((8, "array['n*hub', 'n*hub']"));
            }
            for common in common {
                let values = patients(LARGE, sort, backwards, after, &[common]);
                filled.search_of(|sql| sql.fhir.patients.limited_by_owners(), &values, &[index, "patients_pkey"]);
            }
        }
        // What few have is found by its own index, whatever the order.
        for (criterion, found_by) in [
            ((7, "'{950001,950002}'"), "patients_pkey"),
            ((8, "array['n^zyxgård', 'n^zyxgård']"), "patients_search_idx"),
            ((8, "array['n^quill', 'n^quill', 'n^zyx']"), "patients_search_idx"),
            ((8, "array['n^ada albers 500', 'n^ada albers 500']"), "patients_search_idx"),
            ((9, "'{p49301765432}'"), "patients_search_idx"),
            ((9, "'{ezoe@example.org}'"), "patients_search_idx"),
        ] {
            let values = patients(LARGE, sort, false, "null", &[criterion]);
            filled.search_of(|sql| sql.fhir.patients.limited_by_owners(), &values, &[found_by]);
            let either = [found_by, "patients_created_by_id_idx", index];
            let values = patients(SMALL, sort, false, "null", &[criterion]);
            filled.search_of(|sql| sql.fhir.patients.limited_by_owners(), &values, &either);
        }
        let born = [(18, "'{1950-05-05}'"), (19, "'{1950-05-06}'")];
        let values = patients(LARGE, sort, false, "null", &born);
        filled.search_of(
            |sql| sql.fhir.patients.limited_by_owners(),
            &values,
            &["patients_created_by_date_of_birth_idx"],
        );
        let changed = [(10, "'{2026-02-05T00:00:00Z}'"), (11, "'{2026-02-05T00:01:00Z}'")];
        let values = patients(LARGE, sort, false, "null", &changed);
        filled.search_of(|sql| sql.fhir.patients.limited_by_owners(), &values, &["patients_created_by_updated_at_idx"]);
    }
    // Those for whom a doctor cares, from that doctor's mappings.
    let values = patients(LARGE, "_id", false, "null", &[(21, "'{5}'")]);
    for plan in filled.ask(|sql| sql.fhir.patients.limited_by_owners(), &values) {
        plan.reads_whole_tables_never();
        assert!(plan.indexes().contains(&"mappings_doctor_id_id_idx"), "{}: {}", plan.name, plan.explained);
    }
    // A role that nobody has is looked for among the doctors.
    let values = patients(LARGE, "_id", false, "null", &[(12, "'{dentist}'"), (22, "true")]);
    for plan in filled.ask(|sql| sql.fhir.patients.limited_by_owners(), &values) {
        assert!(plan.blocks() <= 5_000, "{}: {} blocks", plan.name, plan.blocks());
    }
    // The team of one patient.
    let values = ["'{102}'", "500000"].map(String::from);
    for plan in filled.ask(|sql| sql.fhir.team.limited_by_owners(), &values) {
        plan.reads_whole_tables_never();
        assert!(plan.blocks() <= 50, "{}: {} blocks", plan.name, plan.blocks());
    }

    for (sort, backwards, index) in [
        ("_id", false, "doctors_pkey"),
        ("_id", true, "doctors_pkey"),
        ("name", false, "doctors_name_id_idx"),
        ("name", true, "doctors_name_id_idx"),
        ("_lastUpdated", true, "doctors_updated_at_id_idx"),
    ] {
        filled.page_of(|sql| &sql.fhir.doctors, &doctors(sort, backwards, &[]), &[index]);
        for (criteria, found_by) in [
            (vec![(6, "'{5000}'")], &["doctors_pkey"][..]),
            (vec![(16, "array['lBE-104321']"), (17, "'{BE-104321}'"), (18, "'{}'")], &["doctors_license_number_key"]),
            (vec![(7, "array['n^doctor 4321', 'n^doctor 4321']")], &["doctors_search_idx"]),
        ] {
            filled.search_of(|sql| &sql.fhir.doctors, &doctors(sort, backwards, &criteria), found_by);
        }
    }
}
