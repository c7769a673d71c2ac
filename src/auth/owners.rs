//! Whose patients a request may see. Only this module can make such a value, and a statement about patients or mappings cannot be
//! asked without one ([`Owned`]).

use std::iter;
use std::sync::Arc;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::db::Question;
use crate::error::Result;
use crate::sql::{Owned, Parameters, Queries};

/// How many pages of different owners one quick read may look into.
const FEW: usize = 32;

/// The users whose patients a request may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners(Whose);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    /// All users, for an admin.
    Everybody,
    /// The caller, who is in no care group and is granted nothing.
    One(i64),
    /// The owner whom the caller asks for, whatever is granted to this user.
    Only(i64),
    /// The caller, who comes first, and the members of the caller's care groups, if there are any. What the caller is granted beside their
    /// patients is looked for in the database.
    Several(Arc<[i64]>),
    /// Nobody: the caller asks for somebody else.
    Nobody,
}

impl Owners {
    /// All users.
    pub(super) fn everybody() -> Owners {
        Owners(Whose::Everybody)
    }

    /// This user, and the members of the user's care groups if there are any; the user comes first among them.
    pub(super) fn of(user_id: i64, colleagues: Option<&Arc<[i64]>>) -> Owners {
        Owners(match colleagues {
            None => Whose::One(user_id),
            Some(ids) => Whose::Several(Arc::clone(ids)),
        })
    }

    /// Those of them whom a filter asks for.
    pub fn only(self, owner_id: Option<i64>) -> Owners {
        let Some(owner_id) = owner_id else { return self };
        let is_one = match &self.0 {
            Whose::Everybody => true,
            Whose::One(id) | Whose::Only(id) => *id == owner_id,
            Whose::Several(ids) => ids.contains(&owner_id),
            Whose::Nobody => false,
        };
        Owners(if is_one { Whose::Only(owner_id) } else { Whose::Nobody })
    }

    /// Whether they are all users.
    pub fn are_everybody(&self) -> bool {
        self.0 == Whose::Everybody
    }

    /// Whether it is one user, to whom nothing is granted.
    pub fn is_one(&self) -> bool {
        matches!(self.0, Whose::One(_) | Whose::Only(_))
    }

    /// Whether a page of each of them is quickly read.
    pub fn are_few(&self) -> bool {
        self.ids().is_some_and(|ids| ids.len() <= FEW)
    }

    /// The question of this statement, which these owners limit, and its further parameters.
    pub fn ask(&self, statement: &Owned, parameters: Parameters) -> Result<Question> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![self];
        all.extend(parameters);
        Question::new(statement.limited_by_owners(), &all)
    }

    /// The question for one patient, who may be granted to the user if it is not known that nothing is.
    pub fn ask_for_patient(&self, sql: &Queries, id: i64) -> Result<Question> {
        self.ask(if self.is_one() { &sql.patients.find } else { &sql.patients.find_granted }, &[&id])
    }

    fn ids(&self) -> Option<&[i64]> {
        match &self.0 {
            Whose::Everybody => None,
            Whose::One(id) | Whose::Only(id) => Some(std::slice::from_ref(id)),
            Whose::Several(ids) => Some(ids),
            Whose::Nobody => Some(&[]),
        }
    }
}

/// Null is everybody. A statement that answers several questions at once gets the ids of each as the text of an array. The first id of an
/// array is that of the caller, who may have been granted more; it is null if nothing that is granted is asked for.
impl ToSql for Owners {
    fn to_sql(
        &self,
        type_: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(ids) = self.ids() else { return Ok(IsNull::Yes) };
        let is_caller_first = !matches!(self.0, Whose::Only(_));
        match *type_ {
            Type::INT8 => match ids {
                [id] => id.to_sql(type_, out),
                _ => Err("several owners where there must be one".into()),
            },
            Type::TEXT => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                format!("{{{}{}}}", if is_caller_first { "" } else { "null," }, ids.join(",")).to_sql(type_, out)
            }
            _ if is_caller_first => ids.to_sql(type_, out),
            _ => iter::once(None).chain(ids.iter().map(Some)).collect::<Vec<_>>().to_sql(type_, out),
        }
    }

    accepts!(INT8, TEXT, INT8_ARRAY);
    to_sql_checked!();
}
