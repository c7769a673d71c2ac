//! Care groups: their members see and change each other's patients. Admins make them.

use postgres::Row;
use serde::Serialize;

use super::ask::{Ask, Read};
use super::listing::listed;
use super::record::{Listed, Plain, created, found, matched, updated};
use crate::app::App;
use crate::auth::User;
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};

/// How many members a group may have.
pub const MEMBERS_MAX: i64 = 200;
/// How many groups a user may be a member of.
pub const GROUPS_MAX: i64 = 8;
/// The query parameters of a list.
pub const PAGE: &[&str] = &["limit", "after"];
/// The query parameter of a delete that takes patients out of colleagues' sight.
pub const FORCE: &[&str] = &["force"];

/// What a user sees of one of the user's own groups.
#[derive(Serialize)]
struct MyGroup {
    id: i64,
    name: String,
    members: Vec<Colleague>,
}

#[derive(Serialize)]
struct Colleague {
    id: i64,
    name: String,
}

/// `GET /api/auth/groups`: the user's own groups with all their members, the user among them.
pub fn mine(read: &Read, user: &User) -> Result<Ask> {
    Ok(Ask::many(Question::new(&read.sql.groups.mine, &[&user.id])?, |_, rows| {
        let mut groups: Vec<MyGroup> = Vec::new();
        for row in rows {
            let (id, member) = (row.get("id"), Colleague { id: row.get("user_id"), name: row.get("user_name") });
            match groups.last_mut().filter(|group| group.id == id) {
                Some(group) => group.members.push(member),
                None => groups.push(MyGroup { id, name: row.get("name"), members: vec![member] }),
            }
        }
        Ok(Response::success("Care groups found", groups))
    }))
}

/// What an admin does with groups and their members.
pub mod admin {
    use super::*;
    use crate::auth::{Actor, Admin};
    use crate::request::Request;
    use crate::sql::Parameters;
    use crate::validate::{NAME_MAX, line};

    /// What is shown of a group, and of a member.
    const GROUP: &[&str] = &["id", "name", "created_at", "updated_at"];
    const MEMBER: &[&str] = &["user_id", "name", "email", "disabled", "added_by", "added_at"];
    const READ_ONLY: &[&str] = &["id", "created_at", "updated_at"];

    /// `POST /api/admin/groups`
    pub fn create(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let user = admin.user();
        let mut form = request.new_record()?;
        form.required("name", line(NAME_MAX));
        let fields = form.finish(READ_ONLY)?;
        let parameters: Parameters = &[&fields.text("name"), &user.id, &user.session_id, &request.client, &request.id];
        let row = app.db.query_one(&app.sql.groups.create, parameters)?;
        let group = Plain(GROUP, &row);
        Ok(created("Care group created", format!("/api/admin/groups/{}", group.id()), &group))
    }

    /// `GET /api/admin/groups`
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        query.finish()?;
        let parameters: Parameters = &[&page.after.unwrap_or(0), &page.rows_wanted()];
        Ok(Ask::many(Question::new(&read.sql.groups.list, parameters)?, move |read, rows| {
            Ok(listed(read, "Care groups found", page, "after", None, &rows, |row| Plain(GROUP, row)))
        }))
    }

    /// `GET /api/admin/groups/{id}`
    pub fn find(read: &Read, _admin: &Admin) -> Result<Ask> {
        Ok(Ask::one(Question::new(&read.sql.groups.find, &[&read.request.id("id")?])?, |read, row| {
            let group = row.as_ref().map(|row| Plain(GROUP, row)).ok_or(Error::NotFound("Care group"))?;
            Ok(found(read.request, "Care group found", &group))
        }))
    }

    /// `PUT` and `PATCH /api/admin/groups/{id}`
    pub fn update(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, versions, user) = (request.id("id")?, request.if_match()?, admin.user());
        let mut form = request.changes()?;
        form.required("name", line(NAME_MAX));
        let fields = form.finish(READ_ONLY)?;
        let parameters: Parameters =
            &[&id, &fields.text("name"), &versions, &user.id, &user.session_id, &request.client, &request.id];
        let row = app.db.query_opt(&app.sql.groups.update, parameters)?.ok_or(Error::NotFound("Care group"))?;
        matched(&row)?;
        Ok(updated("Care group updated", &Plain(GROUP, &row)))
    }

    /// `DELETE /api/admin/groups/{id}`: refused while a member owns patients, unless `?force=true`.
    pub fn delete(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, versions, force, user) = (request.id("id")?, request.if_match()?, forced(request)?, admin.user());
        let nobody: Option<i64> = None;
        let keys: Parameters = &[&id, &nobody];
        let parameters: Parameters =
            &[&id, &force, &versions, &user.id, &user.session_id, &request.client, &request.id];
        let groups = &app.sql.groups;
        let row = app.db.transaction(&groups.delete, |transaction| {
            transaction.query_opt(&groups.lock, keys)?;
            let row = transaction.query_opt(&groups.delete, parameters)?.ok_or(Error::NotFound("Care group"))?;
            matched(&row)?;
            refuse_if_needed(
                &row,
                "A member of this care group still owns patients: transfer them, or send force=true",
            )?;
            transaction.query_opt(&app.sql.grants.end_lost, &[&user_ids(&row, "members")])?;
            Ok(row)
        })?;
        app.guard.sessions.forget_users(&user_ids(&row, "members"));
        Ok(Response::deleted("Care group deleted"))
    }

    /// `GET /api/admin/groups/{id}/members`
    pub fn members(read: &Read, _admin: &Admin) -> Result<Ask> {
        let id = read.request.id("id")?;
        let mut query = read.request.query();
        let page = query.page("after");
        query.finish()?;
        let parameters: Parameters = &[&id, &page.after.unwrap_or(0), &page.rows_wanted()];
        Ok(Ask::many(Question::new(&read.sql.groups.members, parameters)?, move |read, rows| {
            let first = rows.first().ok_or(Error::NotFound("Care group"))?;
            // For a group without members there is one row, without a member.
            let rows = if first.get::<_, Option<i64>>("user_id").is_none() { &[] } else { rows.as_slice() };
            Ok(listed(read, "Members found", page, "after", None, rows, |row| Plain(MEMBER, row)))
        }))
    }

    /// `PUT /api/admin/groups/{id}/members/{user_id}`: adds the user; somebody who is a member stays one.
    pub fn add(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user_id, user) = (request.id("id")?, request.id("user_id")?, admin.user());
        let parameters: Parameters =
            &[&id, &user_id, &MEMBERS_MAX, &GROUPS_MAX, &user.id, &user.session_id, &request.client, &request.id];
        let groups = &app.sql.groups;
        let row = app.db.query_behind(&groups.lock, &[&id, &user_id], &groups.add, parameters)?;
        let row = row.ok_or(Error::NotFound("Care group or user"))?;
        if row.get("group_is_full") {
            return Err(Error::Conflict(format!("A care group has at most {MEMBERS_MAX} members").into()));
        }
        if row.get("user_is_full") {
            return Err(Error::Conflict(format!("A user is in at most {GROUPS_MAX} care groups").into()));
        }
        app.guard.sessions.forget_users(&user_ids(&row, "affected"));
        Ok(Response::updated("Member added", Plain(MEMBER, &row)))
    }

    /// `DELETE /api/admin/groups/{id}/members/{user_id}`: refused while the member owns patients, unless `?force=true`.
    pub fn remove(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user_id, force, user) = (request.id("id")?, request.id("user_id")?, forced(request)?, admin.user());
        let parameters: Parameters = &[&id, &user_id, &force, &user.id, &user.session_id, &request.client, &request.id];
        let groups = &app.sql.groups;
        let row = app.db.transaction(&groups.remove, |transaction| {
            transaction.query_opt(&groups.lock, &[&id, &user_id])?;
            let row = transaction.query_opt(&groups.remove, parameters)?.ok_or(Error::NotFound("Member"))?;
            refuse_if_needed(&row, "This member still owns patients: transfer them, or send force=true")?;
            transaction.query_opt(&app.sql.grants.end_lost, &[&vec![user_id]])?;
            Ok(row)
        })?;
        app.guard.sessions.forget_users(&user_ids(&row, "affected"));
        Ok(Response::deleted("Member removed"))
    }

    fn forced(request: &Request) -> Result<bool> {
        let mut query = request.query();
        let force = query.truth("force").unwrap_or(false);
        query.finish()?;
        Ok(force)
    }

    fn refuse_if_needed(row: &Row, why: &'static str) -> Result<()> {
        if row.get("is_needed") { Err(Error::Conflict(why.into())) } else { Ok(()) }
    }

    /// The users whose groups have changed. What they may see is forgotten here; other nodes are notified.
    fn user_ids(row: &Row, column: &str) -> Vec<i64> {
        row.get::<_, Option<Vec<i64>>>(column).unwrap_or_default()
    }
}
