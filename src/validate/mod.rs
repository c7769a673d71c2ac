//! Fields → values: a [`Form`] reads a JSON body, a [`QueryParameters`] the query parameters; both collect every error before they answer,
//! and check each value by one of the rules.

mod form;
mod query;
mod rules;

pub use form::{Fields, Form, Mode};
pub use query::{Page, QueryParameters};
pub use rules::*;
