//! Every route × everyone who could call it. What is expected follows from the type of the route's handler, so a new route
//! without a check fails here.

use healthcare_backend::internals::{Access, Method, ROUTES, Route};
use serde_json::json;

use super::{World, named, plain_routes};
use crate::harness::{Person, TestApp};

/// What anyone may call. A route that is `open` in the table and does not stand here is a mistake.
const FOR_ANYONE: &[&str] = &[
    "/api/auth/register",
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/forgot",
    "/api/auth/reset",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/fhir/R4/metadata",
    "/",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Nobody,
    BadToken,
    Owner,
    Other,
    Admin,
}

/// The HTTP status; 200 stands for every success, and for the way to the page.
fn expected(route: &Route, caller: Caller) -> u16 {
    let has_place = route.pattern.contains('{');
    let is_directory = ["/api/doctors", "/fhir/R4/Practitioner"].iter().any(|start| route.pattern.starts_with(start));
    match (route.access(), caller) {
        (Access::Anyone, _) => 200,
        (_, Caller::Nobody | Caller::BadToken) => 401,
        (Access::Admin, Caller::Admin) => 200,
        (Access::Admin, _) => 403,
        (Access::User, Caller::Owner) => 200,
        // Of a deleted entry, others know nothing.
        (Access::User, Caller::Other) if route.pattern == "/api/doctors/{id}/undelete" => 404,
        // The directory: everyone reads it; who made an entry, and an admin, change it.
        (Access::User, Caller::Other) if is_directory && has_place && route.method != Method::Get => 403,
        (Access::User, _) if is_directory => 200,
        // The owner has the right to it.
        (Access::User, _) if named(route) == "POST /api/emergency-access" => 403,
        // Everything else belongs to one user. To all others, admins included, a record with an id does not exist.
        (Access::User, _) if has_place => 404,
        (Access::User, _) if named(route) == "POST /api/mappings" => 404,
        (Access::User, _) => 200,
    }
}

#[test]
fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let mut world = World::new(&app, "first");
    for (number, route) in ROUTES.iter().enumerate() {
        for caller in [Caller::Nobody, Caller::BadToken, Caller::Owner, Caller::Other, Caller::Admin] {
            let person = match caller {
                Caller::Nobody => app.anyone(),
                Caller::BadToken => world.owner.with_token(&forged(&world)),
                Caller::Owner => world.owner.clone(),
                Caller::Other => world.other.clone(),
                Caller::Admin => world.admin.clone(),
            };
            let answer = world.send(route, &person);
            let status = if answer.status < 400 { 200 } else { answer.status };
            assert_eq!(status, expected(route, caller), "{} as {caller:?}: {:?}", named(route), answer.json());
            if status == 200 {
                let changes = route.method != Method::Get;
                if changes {
                    // What was changed or removed is made anew for the next caller.
                    world = World::new(&app, &format!("{number}-{caller:?}"));
                }
            } else {
                let touched = "select (select version from patients where id = $1), (select version from doctors where id = $2),
                                      (select version from mappings where id = $3), (select version from users where id = $4),
                                      (select count(*) from sessions where id = $5 and ended_at is null),
                                      (select version from doctors where id = $6)";
                let ids: &[&(dyn postgres::types::ToSql + Sync)] = &[
                    &world.patient_id,
                    &world.doctor_id,
                    &world.mapping_id,
                    &world.user_id,
                    &world.session_id,
                    &world.unassigned_doctor_id,
                ];
                let row = sql.query_one(touched, ids).expect("the records");
                let versions: Vec<Option<i64>> = (0..6).map(|column| row.get(column)).collect();
                assert_eq!(versions, [Some(1); 6], "{} as {caller:?} was refused and changed something", named(route));
            }
        }
    }
}

/// The owner's token with another signature.
fn forged(world: &World) -> String {
    let token = world.owner.token.as_deref().expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    format!("{signed}.{}", signature.chars().rev().collect::<String>())
}

#[test]
fn only_the_listed_routes_are_open_and_the_routes_of_admins_need_one() {
    for route in ROUTES {
        let open = route.access() == Access::Anyone;
        assert_eq!(open, FOR_ANYONE.contains(&route.pattern), "{}", named(route));
        let for_admins = route.access() == Access::Admin;
        assert_eq!(for_admins, route.pattern.starts_with("/api/admin/"), "{}", named(route));
    }
}

#[test]
fn no_list_shows_what_belongs_to_another_user() {
    let app = TestApp::start();
    let world = World::new(&app, "lists");
    let is_own_list = |route: &&Route| {
        let lists = route.method == Method::Get && !route.pattern.contains('{') && route.pattern != "/api/doctors";
        lists && route.access() == Access::User
    };
    for route in plain_routes().filter(is_own_list) {
        for person in [&world.other, &world.admin] {
            let data = world.send(route, person).data();
            let text = data.to_string();
            assert!(!text.contains("Owned") && !text.contains(&world.owner.email), "{}: {text}", named(route));
            if !route.pattern.starts_with("/api/auth/") {
                assert_eq!(data, json!([]), "{}", named(route));
            }
        }
    }
    let sessions = world.other.get("/api/auth/sessions").expect(200, "success").ids();
    assert!(!sessions.contains(&world.session_id));
}

#[test]
fn every_way_to_spell_a_bad_token_is_refused() {
    let app = TestApp::start();
    let world = World::new(&app, "tokens");
    let token = world.owner.token.clone().expect("a token");
    let anyone = app.anyone();
    let spelled = |value: &str| anyone.send("GET", "/api/auth/me", &[("Authorization", value)], None);
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER   {token}")] {
        spelled(&good).expect(200, "success");
    }
    let (head, rest) = token.split_once('.').expect("three parts");
    let (claims, signature) = rest.split_once('.').expect("three parts");
    // `{"alg":"none"}` and `{"alg":"HS512","typ":"JWT"}`
    let (none, other) = ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9");
    for bad in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {head}.{claims}"),
        format!("Bearer {head}.{claims}."),
        format!("Bearer {none}.{claims}."),
        format!("Bearer {none}.{claims}.{signature}"),
        format!("Bearer {other}.{claims}.{signature}"),
        format!("Bearer {head}.{claims}.{signature}A"),
        format!("Bearer {head}.{signature}.{claims}"),
        "Bearer ...".into(),
        format!("Bearer {}", "a".repeat(7000)),
        "Bearer \u{fc}\u{fc}.\u{fc}.\u{fc}".into(),
    ] {
        let answer = spelled(&bad).expect(401, "forbidden");
        super::check(&answer);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{bad}");
    }
    let twice = anyone.send(
        "GET",
        "/api/auth/me",
        &[("Authorization", &format!("Bearer {token}")), ("Authorization", &format!("Bearer {token}"))],
        None,
    );
    twice.expect(401, "forbidden");
}

/// What somebody has to do with a patient of another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// In a care group with the owner.
    Member,
    /// The patient is shared, read only.
    Share,
    /// The patient is shared, and may be changed.
    SharedChange,
    /// The share has ended.
    ExpiredShare,
    /// Emergency access is open.
    Emergency,
    Stranger,
}

/// The routes about one patient or one mapping, for those who are neither the owner nor admins.
fn expected_of(route: &Route, tie: Tie) -> u16 {
    let is_read = route.method == Method::Get || route.is_fhir;
    let changes_mapping = route.pattern.starts_with("/api/mappings");
    let changes_patient = route.pattern == "/api/patients/{id}" && route.method != Method::Delete;
    match tie {
        Tie::Member => 200,
        // Who else sees the patient is no emergency.
        Tie::Emergency if ["/access", "/access/log", "/shares"].iter().any(|end| route.pattern.ends_with(end)) => 403,
        Tie::Emergency if is_read => 200,
        Tie::Emergency => 403,
        Tie::Share | Tie::SharedChange if is_read => 200,
        Tie::SharedChange if changes_mapping || changes_patient => 200,
        // The user knows that the patient exists.
        Tie::Share | Tie::SharedChange => 403,
        Tie::ExpiredShare | Tie::Stranger => 404,
    }
}

/// Somebody with this tie to the owner's patient.
fn tied(world: &World, tie: Tie, name: &str) -> Person {
    let person = world.app.signed_up(name);
    let share = |can_change: bool| {
        let body = json!({ "user_id": person.id, "can_change": can_change });
        world.owner.post(&format!("/api/patients/{}/shares", world.patient_id), body).expect(201, "created");
    };
    match tie {
        Tie::Member => drop(world.admin.new_group(name, &[&world.owner, &person])),
        Tie::Share => share(false),
        Tie::SharedChange => share(true),
        Tie::ExpiredShare => {
            share(true);
            let over = "update patient_grants set expires_at = now() where user_id = $1";
            world.app.sql().execute(over, &[&person.id]).expect("an expired share");
        }
        Tie::Emergency => {
            let renamed = json!({ "name": name });
            let path = format!("/api/patients/{}", world.patient_id);
            world.owner.patch(&path, renamed).expect(200, "updated");
            world.admin.gives_the_right(&person);
            person.asks_for(name).expect(201, "created");
        }
        Tie::Stranger => {}
    }
    person
}

#[test]
fn every_route_about_a_patient_lets_in_members_and_those_with_a_share_or_in_an_emergency_as_far_as_it_goes() {
    let app = TestApp::start();
    let mut world = World::new(&app, "ties");
    // What was deleted has no shares; `colleagues` and `grants` have the rest of an undelete.
    let is_about_one = |route: &&Route| {
        let is_fhir = route.pattern.starts_with("/fhir/R4/") && !route.pattern.contains("/Practitioner");
        let is_listed = is_fhir && route.pattern.contains("{id}")
            || ["/api/patients/{", "/api/mappings/{"].iter().any(|start| route.pattern.starts_with(start));
        route.access() == Access::User && (is_listed || named(route) == "POST /api/mappings")
    };
    for (number, route) in ROUTES.iter().filter(is_about_one).enumerate() {
        if route.pattern.ends_with("/undelete") {
            continue;
        }
        for tie in [Tie::Stranger, Tie::ExpiredShare, Tie::Share, Tie::SharedChange, Tie::Emergency, Tie::Member] {
            let person = tied(&world, tie, &format!("{number}-{tie:?}").to_lowercase());
            let answer = world.send(route, &person);
            let status = if answer.status < 300 { 200 } else { answer.status };
            assert_eq!(status, expected_of(route, tie), "{} as {tie:?}: {:?}", named(route), answer.json());
            // Emergency access is loud.
            let is_loud = answer.header("emergency-access").is_some();
            assert_eq!(is_loud, tie == Tie::Emergency, "{} as {tie:?}", named(route));
            if status == 200 && route.method != Method::Get {
                world = World::new(&app, &format!("ties-{number}-{tie:?}"));
            }
        }
    }
}
