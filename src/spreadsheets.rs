//! `import` and `export`: patients and doctors as CSV files. The columns are the fields of `records.rs`, and an import checks each cell
//! as the API checks the field.

pub mod export;
pub mod import;

mod columns;
mod lines;
mod progress;

use std::path::Path;
use std::sync::Arc;

use postgres::GenericClient;

use crate::audit::Resource;
use crate::commands;
use crate::records::{DOCTOR, Field, PATIENT};
use crate::sql::{Queries, Query};

/// What a file has a line for.
pub struct Sheet {
    /// The word on the command line.
    word: &'static str,
    /// Its columns.
    fields: &'static [Field],
    /// Its name in the audit trail.
    resource: Resource,
    import: fn(&Queries) -> &Arc<Query>,
    export: fn(&Queries) -> &Arc<Query>,
}

/// The words on the command line.
pub const WORDS: &[&str] = &[SHEETS[0].word, SHEETS[1].word];

const SHEETS: [Sheet; 2] = [
    Sheet {
        word: "patients",
        fields: PATIENT,
        resource: Resource::Patient,
        import: |queries| &queries.patients.import,
        export: |queries| &queries.patients.export,
    },
    Sheet {
        word: "doctors",
        fields: DOCTOR,
        resource: Resource::Doctor,
        import: |queries| &queries.doctors.import,
        export: |queries| &queries.doctors.export,
    },
];

/// The sheet with this word, which must be one of [`WORDS`].
pub fn sheet(word: &str) -> &'static Sheet {
    const ALL: &[Sheet] = &SHEETS;
    ALL.iter().find(|sheet| sheet.word == word).unwrap_or(&ALL[0])
}

/// Whether a file name stands for standard input or output.
pub fn is_stream(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The id of the user with this e-mail address.
fn owner_id(client: &mut impl GenericClient, queries: &Queries, email: &str) -> Result<i64, String> {
    let row = commands::one_row(client, &queries.users.find_by_email, &[&email])?;
    row.map(|row| row.get("id")).ok_or_else(|| format!("there is no user with the e-mail {email}"))
}
