//! Which column of a file is which field, and a line of it as the fields of a new record.

use serde_json::{Map, Value};

use crate::cells;
use crate::error::{Error, FieldError};
use crate::records::{Field, Kind, Set};
use crate::validate::{Fields, Form};

/// For each column its field; `None` for one that is ignored.
pub struct Columns {
    fields: &'static [Field],
    of: Vec<Option<&'static Field>>,
}

impl Columns {
    /// Finds the field of each column by its name, or by a mapping `HEADER=FIELD`.
    pub fn find(fields: &'static [Field], header: &[String], mappings: &[&str]) -> Result<Columns, String> {
        let settable = || fields.iter().filter(|field| field.set != Set::ByServer);
        let names = || settable().map(|field| field.name).collect::<Vec<_>>().join(", ");
        let mut mapped: Vec<(&str, Option<&'static Field>)> = Vec::new();
        for mapping in mappings {
            let (name, field) = mapping.rsplit_once('=').unwrap_or((mapping, ""));
            let (name, field) = (name.trim(), field.trim());
            if !header.iter().any(|column| column == name) {
                return Err(format!("--map names the column {name:?}, which the file does not have"));
            }
            if mapped.iter().any(|(earlier, _)| *earlier == name) {
                return Err(format!("--map names the column {name:?} twice"));
            }
            let target = settable().find(|settable| settable.name == field);
            if target.is_none() && !field.is_empty() {
                return Err(format!("--map gives the field {field:?}; the fields are {}", names()));
            }
            mapped.push((name, target));
        }

        let (mut of, mut unknown) = (Vec::new(), Vec::new());
        for column in header {
            let field = match mapped.iter().find(|(name, _)| name == column) {
                Some((_, field)) => *field,
                None => match fields.iter().find(|field| field.name == column) {
                    Some(field) => Some(field).filter(|field| field.set != Set::ByServer),
                    None => {
                        unknown.push(format!("{column:?}"));
                        None
                    }
                },
            };
            let is_taken = |taken: &Option<&Field>| {
                taken.is_some() && taken.map(|field| field.name) == field.map(|field| field.name)
            };
            if let Some(field) = field.filter(|_| of.iter().any(is_taken)) {
                return Err(format!("two columns of the file are the field {}", field.name));
            }
            of.push(field);
        }
        if !unknown.is_empty() {
            return Err(format!(
                "the file has columns that are no fields: {}; name the field of each with --map 'HEADER=FIELD', or leave it out with \
                 --map 'HEADER='; the fields are {}",
                unknown.join(", "),
                names()
            ));
        }
        let is_missing =
            |field: &&Field| field.set == Set::Always && !of.iter().flatten().any(|known| known.name == field.name);
        let missing: Vec<&str> = settable().filter(is_missing).map(|field| field.name).collect();
        if !missing.is_empty() {
            return Err(format!(
                "the file has no column for {}; --map 'HEADER=FIELD' says which it is",
                missing.join(", ")
            ));
        }
        Ok(Columns { fields, of })
    }

    /// The cells of a line as the fields of a new record, or every rule that they break, as the end of a sentence each.
    pub fn check(&self, cells: Vec<String>) -> Result<Fields, Vec<String>> {
        if cells.len() != self.of.len() {
            return Err(vec![format!("has {} cells, but the header has {}", cells.len(), self.of.len())]);
        }
        let mut sent = Map::new();
        for (field, cell) in self.of.iter().zip(cells) {
            if let Some(field) = field {
                sent.insert(field.name.to_string(), value(field.kind, cells::restored(&cell)));
            }
        }
        Form::of(sent).record(self.fields).map_err(|error: Error| {
            let told = |error: &FieldError| format!("{} {}", error.field, error.message);
            error.fields().map(|errors| errors.iter().map(told).collect()).unwrap_or_default()
        })
    }
}

/// A cell as the value that JSON would have. Text that is no number stays text, which the rule of the field refuses.
fn value(kind: Kind, cell: &str) -> Value {
    match (kind, cell.trim().parse::<i64>()) {
        (Kind::Number(..) | Kind::Id, Ok(number)) => number.into(),
        _ => cell.into(),
    }
}
