//! The columns of a row, by their names.

use postgres::Row;
use postgres::types::FromSql;

/// Reads the columns of a row. They mostly come in the order in which they are asked for, so a search begins behind the last one that was
/// found.
pub struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub fn of(row: &'a Row) -> Columns<'a> {
        Columns { row, next: 0 }
    }

    /// The value of the column with this name.
    pub fn get<T: FromSql<'a>>(&mut self, name: &str) -> T {
        let columns = self.row.columns();
        let mut numbers = (self.next..columns.len()).chain(0..self.next);
        let Some(number) = numbers.find(|number| columns[*number].name() == name) else { return self.row.get(name) };
        self.next = number + 1;
        self.row.get(number)
    }
}
