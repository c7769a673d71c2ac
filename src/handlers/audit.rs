//! The audit trail, as an admin reads it. Nothing here changes it.

use postgres::Row;
use serde::ser::{Serialize, Serializer};

use super::ask::{Ask, Read};
use super::listing::listed;
use super::record::{Listed, Value};
use crate::auth::Admin;
use crate::db::Question;
use crate::error::Result;
use crate::sql::Parameters;

/// The query parameters of the list.
pub const FILTERS: &[&str] = &["limit", "before", "actor_id", "action", "resource", "resource_id", "from", "until"];
/// Every action in the trail.
pub const ACTIONS: [&str; 29] = [
    "register",
    "login",
    "login_failed",
    "lock",
    "unlock",
    "logout",
    "session_end",
    "refresh_reuse",
    "password_change",
    "password_reset",
    "reset_issue",
    "totp_change",
    "profile_change",
    "role_change",
    "disable",
    "enable",
    "create",
    "update",
    "delete",
    "undelete",
    "read",
    "list",
    "denied",
    "share",
    "unshare",
    "transfer",
    "emergency",
    "emergency_read",
    "emergency_review",
];
/// Every kind of record in the trail.
pub const RESOURCES: [&str; 8] = ["user", "session", "patient", "doctor", "mapping", "care_group", "grant", "audit"];
/// The fields of an entry, in order.
pub const COLUMNS: [&str; 12] = [
    "id",
    "at",
    "actor_id",
    "action",
    "resource",
    "resource_id",
    "resource_ids",
    "version",
    "outcome",
    "ip",
    "request_id",
    "before",
];
/// Every outcome in the trail.
pub const OUTCOMES: [&str; 3] = ["success", "failed", "forbidden"];

/// Who did what to which record, when, and from where.
struct AuditEntry<'a>(&'a Row);

impl Serialize for AuditEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let fields = COLUMNS.iter().map(|column| (column, self.0.get::<_, Option<Value>>(*column)));
        // Only the entry of a list has these.
        serializer.collect_map(fields.filter(|(column, value)| **column != "resource_ids" || value.is_some()))
    }
}

impl Listed for AuditEntry<'_> {
    fn id(&self) -> i64 {
        self.0.get("id")
    }
}

/// `GET /api/admin/audit`: newest first.
pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
    let mut query = read.request.query();
    let page = query.page("before");
    let (actor_id, action) = (query.id("actor_id"), query.one_of("action", &ACTIONS));
    let (resource, resource_id) = (query.one_of("resource", &RESOURCES), query.id("resource_id"));
    let (from, until) = (query.time("from"), query.time("until"));
    query.finish()?;
    let before = page.after.unwrap_or(i64::MAX);
    let parameters: Parameters =
        &[&before, &page.rows_wanted(), &actor_id, &action, &resource, &resource_id, &from, &until];
    Ok(Ask::many(Question::new(&read.sql.audit.list, parameters)?, move |read, rows| {
        Ok(listed(read, "Audit entries found", page, "before", Some(&|| COLUMNS.to_vec()), &rows, AuditEntry))
    }))
}
