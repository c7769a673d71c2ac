//! Every record and every form, field by field. One line gives a field's schema, its example, and whether it is required.

use super::components::{Field, Schema, answer, changes, example, new, optional, required, schema, server};
use super::fields::{
    array, birth_date, count, email, id, line, line_or_blank, lines, new_password, one_of, or_null, phone, secret,
    text, time, time_or_blank, truth, visible_line,
};
use super::json::{Json, list, object};
use crate::auth::Role;
use crate::auth::passwords::MAX_BYTES;
use crate::auth::totp::CODE_MAX;
use crate::config::Config;
use crate::handlers::audit::{ACTIONS, OUTCOMES, RESOURCES};
use crate::handlers::emergency::{REASON_MAX, REASON_MIN, VERDICTS};
use crate::records::{self, DOCTOR, Kind, MAPPING, PATIENT, Set};
use crate::validate::{EMAIL_MAX, NAME_MAX};

/// Every component, in the order of the README.
pub fn schemas(config: &Config) -> Vec<Schema> {
    let new_password = || new_password(config.password_min_length, MAX_BYTES);
    let mut all = vec![
        new(
            "Registration",
            &[
                required("name", line(NAME_MAX), "Ann Baker"),
                required("email", email(), "ann@example.org"),
                required("password", new_password(), "correct horse battery"),
            ],
        ),
        new(
            "Login",
            &[
                required("email", line(EMAIL_MAX), "ann@example.org"),
                required("password", secret(), "correct horse battery"),
                optional("code", line(CODE_MAX), ())
                    .about("Six digits or a recovery code, if a second factor is in force."),
            ],
        ),
        new("Refresh", &[required("refresh_token", secret(), REFRESH_TOKEN)]),
        new(
            "PasswordChange",
            &[
                required("current_password", secret(), "correct horse battery"),
                required("new_password", new_password(), "a better horse battery"),
            ],
        ),
        new("CurrentPassword", &[required("current_password", secret(), "correct horse battery")]),
        new("TotpCode", &[required("code", line(CODE_MAX), "123456")]),
        new(
            "TotpRemoval",
            &[
                required("current_password", secret(), "correct horse battery"),
                required("code", line(CODE_MAX), "123456").about("Six digits, or a recovery code."),
            ],
        ),
        answer("TotpSecret", &totp_secret()),
        answer("RecoveryCodeList", &recovery_codes()),
        new("ForgottenPassword", &[required("email", email(), "ann@example.org")]),
        new(
            "PasswordReset",
            &[
                required("token", secret(), REFRESH_TOKEN),
                required("new_password", new_password(), "a better horse battery"),
            ],
        ),
        changes("ProfileChanges", &profile()),
        new(
            "UserInput",
            &[
                server("id", id(), ()),
                required("name", line(NAME_MAX), "Ann Baker"),
                required("email", email(), "ann@example.org"),
                optional("role", one_of(&Role::WORDS), "user"),
                optional("password", new_password(), ()),
                server("invited", truth(), ()),
                server("totp", truth(), ()),
                server("created_at", time(), ()),
                server("updated_at", time(), ()),
            ],
        ),
        answer("InvitedUser", &invited_user()),
        answer("OneTimeToken", &one_time_token()),
        answer("Grant", &grant()),
        answer("Session", &session()),
        answer("User", &user(Set::ByServer)),
        changes("UserChanges", &user(Set::Always)),
    ];
    for (record, form, change, fields) in [
        ("Patient", "PatientInput", "PatientChanges", PATIENT),
        ("Doctor", "DoctorInput", "DoctorChanges", DOCTOR),
        ("CareMapping", "MappingInput", "MappingChanges", MAPPING),
    ] {
        let all_fields = table(fields, true);
        all.extend([answer(record, &table(fields, false)), new(form, &all_fields), changes(change, &all_fields)]);
    }
    all.extend([
        answer("AdminMapping", &table(MAPPING, true)),
        answer("PatientVersion", &version(table(PATIENT, false))),
        answer("DoctorVersion", &version(table(DOCTOR, false))),
        answer("CareMappingVersion", &version(mapping_then(false))),
        answer("AdminMappingVersion", &version(mapping_then(true))),
        answer("UserVersion", &version(user(Set::ByServer))),
        answer("DeletedRecord", &deleted(vec![server("name", text(), "Zoë Müller")])),
        answer(
            "DeletedMapping",
            &deleted(vec![half("patient", PATIENT, &["id", "name"]), half("doctor", DOCTOR, &["id", "name"])]),
        ),
        answer("Group", &group()),
        new("GroupInput", &group()),
        changes("GroupChanges", &group()),
        answer("Member", &member()),
        answer("MyGroup", &my_group()),
        answer("Share", &share()),
        answer("Access", &access()),
        answer("AccessEvent", &access_event()),
        new("Transfer", &[required("to", id(), 2).about("The user who gets the patients.")]),
        answer("Transferred", &[server("patients", count(), 12).about("How many have moved.")]),
        new_share(),
        new(
            "EmergencyRequest",
            &[
                required("name", line(NAME_MAX), "Zoë Müller").about("The whole name of the patient. Case does not matter, nor in which of Unicode's forms a character is written; accents and the number of blanks do."),
                required("date_of_birth", birth_date(), "1990-04-23"),
                required("reason", line(REASON_MAX).with("minLength", REASON_MIN), "Unconscious in the emergency room, no relatives")
                    .about("Why it must be. Invisible characters do not count. It stays with the grant, and is not in the audit trail."),
                required("password", secret(), "correct horse battery").about("Your own."),
            ],
        ),
        answer("EmergencyGrants", &emergency_grants()),
        answer("EmergencyGrant", &emergency_grant()),
        new(
            "EmergencyReview",
            &[
                required("verdict", one_of(&VERDICTS), "justified"),
                optional("note", line_or_blank(REASON_MAX), "Confirmed with the ward"),
            ],
        ),
        answer("AuditEntry", &audit_entry()),
        field_error(),
    ]);
    all
}

const REFRESH_TOKEN: &str = "9f4c0d5be1a7482e3b60c8f2d17a95e04c83b6f15d29e7a08b41f6c3d2907e5a";

fn user(privileges: Set) -> Vec<Field> {
    let privilege = |name, schema, example: Json| Field { set: privileges, ..server(name, schema, example) };
    vec![
        server("id", id(), 1),
        privilege("name", line(NAME_MAX), "Ann Baker".into()),
        privilege("email", email(), "ann@example.org".into()),
        privilege("role", one_of(&Role::WORDS), "user".into()),
        privilege("disabled", truth(), false.into()),
        server("invited", truth(), false).about("Whether the account waits for its first password."),
        server("totp", truth(), false).about("Whether a login needs a code of the second factor."),
        privilege("may_break_glass", truth(), false.into())
            .about("Whether the user may take emergency access to patients whom the user does not see."),
        server("created_at", time(), "2026-01-05T08:30:00.123456Z"),
        server("updated_at", time(), "2026-01-05T08:30:00.123456Z"),
    ]
}

/// What users change of their own account; the example changes the last of them.
fn profile() -> Vec<Field> {
    let mut fields = vec![
        optional("current_password", secret(), ()).about("Needed beside a new `email`."),
        required("email", email(), "ann@example.org"),
        required("name", line(NAME_MAX), "Ann Baker"),
    ];
    let ours = |field: &Field| matches!(field.name, "name" | "email");
    fields.extend(user(Set::ByServer).into_iter().filter(|field| !ours(field)));
    fields
}

fn totp_secret() -> Vec<Field> {
    let uri = "otpauth://totp/healthcare-backend:ann%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=healthcare-backend\
               &algorithm=SHA1&digits=6&period=30";
    vec![
        server("secret", text(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
            .about("Base32, to be typed into an authenticator."),
        server("uri", text(), uri).about("The same for a QR code."),
    ]
}

fn recovery_codes() -> Vec<Field> {
    vec![server("recovery_codes", array(text()), list!["abcd-efgh-2345-6723"]).about("Ten, each good once.")]
}

fn one_time_token() -> Vec<Field> {
    vec![
        server("token", text(), REFRESH_TOKEN).about("Good once."),
        server("expires_at", time(), "2026-01-12T08:30:00.123456Z"),
    ]
}

/// A new account as the admin who made it sees it.
fn invited_user() -> Vec<Field> {
    let invitation = one_time_token();
    let mut fields = user(Set::ByServer);
    for field in fields.iter_mut().filter(|field| field.name == "invited") {
        field.example = true.into();
    }
    let schema = or_null(schema(&invitation, |_| true));
    fields.push(server("invitation", schema, example(&invitation)));
    fields
}

fn grant() -> Vec<Field> {
    let of_user = Json::reference("schemas", "User");
    vec![
        server("token", text(), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIiwic2lkIjoxfQ.2b4Yl0vHnq3R6sXw"),
        server("token_type", one_of(&["Bearer"]), "Bearer"),
        server("expires_in", count(), 3600).about("How many seconds the access token is valid."),
        server("refresh_token", text(), REFRESH_TOKEN).about("Can be used once."),
        server("user", of_user, example(&user(Set::ByServer))),
        server("recovery_codes_left", count(), ())
            .about("Present only after a login with a recovery code.")
            .or_absent(),
    ]
}

fn session() -> Vec<Field> {
    vec![
        server("id", id(), 1),
        server("created_at", time(), "2026-01-05T08:30:00.123456Z"),
        server("last_used_at", time(), "2026-01-05T09:12:44.000000Z"),
        server("expires_at", time(), "2026-01-12T09:12:44Z").about("When the session ends unless it is used before."),
        server("user_agent", or_null(text()), "Mozilla/5.0"),
        server("ip", or_null(text()), "192.0.2.7"),
        server("current", truth(), true).about("Whether this request belongs to this session."),
    ]
}

fn group() -> Vec<Field> {
    vec![
        server("id", id(), 1),
        required("name", line(NAME_MAX), "Practice Main Street"),
        server("created_at", time(), "2026-01-05T08:30:00.123456Z"),
        server("updated_at", time(), "2026-01-05T08:30:00.123456Z"),
    ]
}

fn member() -> Vec<Field> {
    vec![
        server("user_id", id(), 1),
        server("name", text(), "Ann Baker"),
        server("email", text(), "ann@example.org"),
        server("disabled", truth(), false)
            .about("A disabled user stays a member, so that colleagues still see the patients."),
        server("added_by", id(), 2).about("The admin who added the user."),
        server("added_at", time(), "2026-01-05T08:30:00.123456Z"),
    ]
}

fn share() -> Vec<Field> {
    vec![
        server("id", id(), 1),
        server("patient_id", id(), 1),
        Field { set: Set::Perhaps, ..server("user_id", id(), 2) },
        optional("can_change", truth(), false)
            .about("Whether the user may change the patient and the patient's mappings."),
        optional("expires_at", time(), ()).about("The end; null for a share for good."),
        server("granted_by", id(), 1).about("Who shares the patient."),
        server("granted_at", time(), "2026-01-05T08:30:00.123456Z"),
    ]
}

fn access() -> Vec<Field> {
    let of_group = [server("id", id(), 1), server("name", text(), "Practice Main Street")];
    let reasons = ["owner", "group", "share", "emergency", "admin"];
    vec![
        server("user_id", id(), 1),
        server("name", text(), "Ann Baker"),
        server("reason", one_of(&reasons), "group"),
        server("group", or_null(schema(&of_group, |_| true)), example(&of_group)),
        server("can_change", truth(), true),
        server("expires_at", or_null(time()), ()),
    ]
}

fn access_event() -> Vec<Field> {
    vec![
        server("id", id(), 42),
        server("at", time(), "2026-01-05T08:34:00.123456Z"),
        server("actor_id", or_null(id()), 1),
        server("actor_name", or_null(text()), "Ann Baker"),
        server("action", one_of(&ACTIONS), "read"),
        server("ip", or_null(text()), "192.0.2.7"),
    ]
}

/// A new share says with whom: by id or by e-mail address.
fn new_share() -> Schema {
    let mut fields = share();
    let end = "The end, which must be in the future; absent, null or blank for a share for good.";
    fields.retain(|field| field.name != "expires_at");
    fields.push(optional("expires_at", time_or_blank(), ()).about(end));
    fields.insert(3, optional("email", email(), ()).about("In place of `user_id`."));
    Schema { example: object! { "user_id": 2, "can_change": false }, ..new("ShareInput", &fields) }
}

/// The grants of one try.
fn emergency_grants() -> Vec<Field> {
    let one = [
        server("id", id(), 1),
        server("patient_id", id(), 1),
        server("expires_at", time(), "2026-01-05T09:34:00.123456Z"),
    ];
    let grants = array(schema(&one, |_| true));
    vec![server("grants", grants, list![example(&one)]).about("One for each patient who matches.")]
}

fn emergency_grant() -> Vec<Field> {
    vec![
        server("id", id(), 1),
        server("user_id", id(), 1),
        server("patient_id", id(), 1),
        server("reason", text(), "Unconscious in the emergency room, no relatives"),
        server("granted_at", time(), "2026-01-05T08:34:00.123456Z"),
        server("expires_at", time(), "2026-01-05T09:34:00.123456Z"),
        server("ended_at", or_null(time()), ()).about("When it was ended early."),
        server("reviewed_at", or_null(time()), ()),
        server("reviewed_by", or_null(id()), ()).about("The admin who reviewed it."),
        server("verdict", or_null(one_of(&VERDICTS)), ()),
        server("note", or_null(text()), ()),
    ]
}

/// One of a user's own groups.
fn my_group() -> Vec<Field> {
    let of_member = [server("id", id(), 1), server("name", text(), "Ann Baker")];
    let members = array(schema(&of_member, |_| true));
    vec![
        server("id", id(), 1),
        server("name", text(), "Practice Main Street"),
        server("members", members, list![example(&of_member)]).about("The user among them."),
    ]
}

/// The fields of a table, seen by an admin or by any user.
fn table(fields: &'static [records::Field], by_admin: bool) -> Vec<Field> {
    fields.iter().filter(|field| by_admin || !field.for_admins).map(described).collect()
}

fn described(field: &records::Field) -> Field {
    let schema = schema_of(field.kind);
    let schema = if field.set == Set::Perhaps { or_null(schema) } else { schema };
    Field { set: field.set, ..server(field.name, schema, example_of(field)) }.about(field.about)
}

fn schema_of(kind: Kind) -> Json {
    match kind {
        Kind::Line(max) => line(max),
        Kind::VisibleLine(max) => visible_line(max),
        Kind::Lines(max) => lines(max),
        Kind::Phone => phone(),
        Kind::Email => email(),
        Kind::BirthDate => birth_date(),
        Kind::OneOf(words) => one_of(words),
        Kind::Number(least, most) => object! { "type": "integer", "minimum": least, "maximum": most },
        Kind::Id => id(),
        Kind::Time => time(),
        Kind::Part(fields, names) => schema(&part(fields, names), |_| true),
    }
}

fn example_of(field: &records::Field) -> Json {
    match (field.kind, field.example.parse::<i64>()) {
        (Kind::Part(fields, names), _) => example(&part(fields, names)),
        (Kind::Id | Kind::Number(..), Ok(number)) => number.into(),
        _ => field.example.into(),
    }
}

fn part(fields: &'static [records::Field], names: &[&str]) -> Vec<Field> {
    table(fields, true).into_iter().filter(|field| names.contains(&field.name)).collect()
}

/// A version of a record with these fields.
fn version(record: Vec<Field>) -> Vec<Field> {
    let then = or_null(schema(&record, |_| true));
    vec![
        server("version", id(), 2),
        server("at", time(), "2026-01-05T08:34:00.123456Z").about("When the version began."),
        server("actor_id", or_null(id()), 1).about("The user who made it; null for the command line."),
        server("action", one_of(&["create", "update", "delete", "undelete"]), "update"),
        server("record", then, example(&record)).about("The record as it was; null if it was deleted."),
    ]
}

/// A mapping in a history. Of a patient or doctor that is gone it shows only the id.
fn mapping_then(by_admin: bool) -> Vec<Field> {
    let parts = MAPPING.iter().filter(|field| by_admin || !field.for_admins);
    let then = |field: &'static records::Field| match field.kind {
        Kind::Part(fields, names) => half(field.name, fields, names),
        _ => described(field),
    };
    parts.map(then).collect()
}

/// A part of another record that may be gone.
fn half(name: &'static str, fields: &'static [records::Field], names: &[&str]) -> Field {
    let part = part(fields, names);
    server(name, schema(&part, |field| field.name == "id"), example(&part))
}

/// A deleted record, of which this is shown.
fn deleted(about: Vec<Field>) -> Vec<Field> {
    let mut fields = vec![server("id", id(), 1)];
    fields.extend(about);
    fields.push(server("deleted_at", time(), "2026-01-05T08:34:00.123456Z"));
    fields.push(server("deleted_by", or_null(id()), 1).about("The user who deleted it."));
    fields
}

fn audit_entry() -> Vec<Field> {
    let before = object! { "type": list!["object", "null"], "additionalProperties": true };
    vec![
        server("id", id(), 42),
        server("at", time(), "2026-01-05T08:34:00.123456Z"),
        server("actor_id", or_null(id()), 1).about("The user who did it; null for a failed login and for the command line."),
        server("action", one_of(&ACTIONS), "update"),
        server("resource", one_of(&RESOURCES), "patient"),
        server("resource_id", or_null(id()), 1),
        server("resource_ids", array(id()), ()).about("The ids of the records that a list showed; absent for other actions.").or_absent(),
        server("version", or_null(id()), 2).about("The version of the record that the change made."),
        server("outcome", one_of(&OUTCOMES), "success"),
        server("ip", or_null(text()), "192.0.2.7"),
        server("request_id", or_null(text()), "5c1d9a70-2f"),
        server("before", before, example(&table(PATIENT, true))).about("The record before an update or a delete. Texts longer than 1 KiB that an update did not change are left out."),
    ]
}

fn field_error() -> Schema {
    let fields = [
        server("field", text(), "name")
            .about("The JSON field, query parameter, path parameter or header; `body` for the body as a whole."),
        server("message", text(), "is required")
            .about("The rule that it breaks, as the end of a sentence that begins with the field's name."),
    ];
    answer("FieldError", &fields)
}
