//! THE table, one line per endpoint.

use crate::app::App;
use crate::audit::Resource::{self, Audit, CareGroup, Doctor, Grant, Mapping, Patient, Session, User};
use crate::auth;
use crate::config::Config;
use crate::envelope::Response;
use crate::error::Result;
use crate::fhir::history as fhir_history;
use crate::fhir::{
    capabilities, care_team, document_reference, everything, patient, practitioner, practitioner_role, search,
};
use crate::handlers::ask::{Ask, Read};
use crate::handlers::creation::Creation;
use crate::handlers::{
    audit, docs, doctors, emergency, grants, groups, health, history, mappings, patients, resets, sessions, totp,
    transfers, users,
};
use crate::request::Method::{self, Delete, Get, Patch, Post, Put};
use crate::request::Request;

/// The threads that handle a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The worker that received it, together with other requests of the same moment.
    Reading,
    /// One of the threads that wait for the database: for every change, and for reads that turn out to need it.
    Waiting,
    /// The same for creations that may share a statement: a few of those threads at a time make those that have gathered.
    Gathering,
    /// Some of those threads, when no change waits and there is memory for the rows.
    LongReading,
    /// One of the few threads that hash passwords.
    Hashing,
}

/// A handler. The variant says who may call it, which the type of the last parameter enforces; a handler that takes any [`auth::Actor`]
/// serves users on one path and admins on another. The variant also says how it uses the database: a read returns its question and what
/// to do with the rows, a creation its statement and what to do with the new row; every other handler queries the database itself.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Anyone.
    Open(fn(&App, &Request) -> Result<Response>),
    /// Any user with a valid token.
    Signed(fn(&App, &Request, &auth::User) -> Result<Response>),
    /// Any user with a valid token and the role `admin`.
    Admin(fn(&App, &Request, &auth::Admin) -> Result<Response>),
    /// A creation by a user with a valid token.
    Create(fn(&Read, &auth::User) -> Result<Creation>),
    /// A read by a user with a valid token.
    Read(fn(&Read, &auth::User) -> Result<Ask>),
    /// A read by an admin.
    AdminRead(fn(&Read, &auth::Admin) -> Result<Ask>),
}

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// A user with a valid token.
    User,
    /// A user with a valid token and the role `admin`.
    Admin,
}

/// One endpoint.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method; `GET` serves `HEAD` as well.
    pub method: Method,
    /// The path, with `{name}` in place of each value.
    pub pattern: &'static str,
    /// The lane that handles it.
    pub lane: Lane,
    /// The resource that the audit trail names in a refusal: the record of `{id}`, or the kind that the path ends with. `None`
    /// for open routes, which refuse nobody.
    pub resource: Option<Resource>,
    /// Who may call it, and what it does.
    pub handler: Handler,
    /// The query parameters that it allows.
    pub query: &'static [&'static str],
    /// Whether its body has fields. If not, the body must be absent or an empty object.
    pub has_fields: bool,
    /// Whether it counts against the rate limit of the client's address, because it checks a password or a token.
    pub is_rate_limited: bool,
    /// Whether the configuration allows it; if not, its refusal.
    pub gate: Option<Gate>,
    /// Whether it speaks FHIR: its parameters, bodies, answers and refusals are those of R4.
    pub is_fhir: bool,
}

/// A check of the configuration that refuses every request of a route.
type Gate = fn(&Config) -> Result<()>;

/// Every endpoint of the service, in README order. Only the endpoints in this list can be reached.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    open      (Post,   "/api/auth/register",                                users::register).checking().only_if(users::registration_is_open),
    open      (Post,   "/api/auth/login",                                   sessions::login).checking(),
    open      (Post,   "/api/auth/refresh",                                 sessions::refresh).limited(),
    read      (Get,    "/api/auth/me",                             User,    users::me),
    signed    (Put,    "/api/auth/me",                             User,    users::update).hashing(),
    signed    (Patch,  "/api/auth/me",                             User,    users::update).hashing(),
    open      (Post,   "/api/auth/forgot",                                  resets::forget).limited().only_if(resets::mail_is_set),
    open      (Post,   "/api/auth/reset",                                   resets::redeem).checking(),
    signed    (Post,   "/api/auth/totp",                           User,    totp::prepare).checking(),
    signed    (Post,   "/api/auth/totp/confirm",                   User,    totp::confirm).limited(),
    signed    (Post,   "/api/auth/totp/remove",                    User,    totp::remove).checking(),
    signed    (Post,   "/api/auth/password",                       User,    users::change_password).checking(),
    signed    (Post,   "/api/auth/logout",                         Session, sessions::logout).bare(),
    read      (Get,    "/api/auth/sessions",                       Session, sessions::list),
    signed    (Delete, "/api/auth/sessions/{id}",                  Session, sessions::delete),
    read      (Get,    "/api/auth/groups",                         CareGroup, groups::mine),

    create    (Post,   "/api/patients",                            Patient, patients::create),
    read      (Get,    "/api/patients",                            Patient, patients::list).query(patients::FILTERS),
    read      (Get,    "/api/patients/{id}",                       Patient, patients::find),
    signed    (Put,    "/api/patients/{id}",                       Patient, patients::update),
    signed    (Patch,  "/api/patients/{id}",                       Patient, patients::update),
    signed    (Delete, "/api/patients/{id}",                       Patient, patients::delete),
    read      (Get,    "/api/patients/deleted",                    Patient, history::deleted::<patients::History>).query(history::DELETED),
    signed    (Post,   "/api/patients/{id}/undelete",              Patient, patients::undelete).bare(),
    read      (Get,    "/api/patients/{id}/history",               Patient, history::list::<patients::History>).query(history::PAGE),
    read      (Get,    "/api/patients/{id}/history/{version}",     Patient, history::find::<patients::History>),
    signed    (Post,   "/api/patients/{id}/shares",                Patient, grants::share),
    read      (Get,    "/api/patients/{id}/shares",                Patient, grants::list),
    signed    (Delete, "/api/patients/{id}/shares/{share_id}",     Patient, grants::unshare),
    read      (Get,    "/api/patients/{id}/access",                Patient, grants::access),
    signed    (Get,    "/api/patients/{id}/access/log",            Patient, grants::log).waiting().query(grants::LOG),
    signed    (Post,   "/api/emergency-access",                    Grant,   emergency::ask).checking(),
    read      (Get,    "/api/emergency-access",                    Grant,   emergency::mine),
    signed    (Delete, "/api/emergency-access/{id}",               Grant,   emergency::end),

    create    (Post,   "/api/doctors",                             Doctor,  doctors::create),
    read      (Get,    "/api/doctors",                             Doctor,  doctors::list).query(doctors::FILTERS),
    read      (Get,    "/api/doctors/{id}",                        Doctor,  doctors::find),
    signed    (Put,    "/api/doctors/{id}",                        Doctor,  doctors::update),
    signed    (Patch,  "/api/doctors/{id}",                        Doctor,  doctors::update),
    signed    (Delete, "/api/doctors/{id}",                        Doctor,  doctors::delete),
    read      (Get,    "/api/doctors/deleted",                     Doctor,  history::deleted::<doctors::History>).query(history::DELETED),
    signed    (Post,   "/api/doctors/{id}/undelete",               Doctor,  doctors::undelete).bare(),
    read      (Get,    "/api/doctors/{id}/history",                Doctor,  history::list::<doctors::History>).query(history::PAGE),
    read      (Get,    "/api/doctors/{id}/history/{version}",      Doctor,  history::find::<doctors::History>),

    create    (Post,   "/api/mappings",                            Mapping, mappings::create),
    read      (Get,    "/api/mappings",                            Mapping, mappings::list).query(mappings::FILTERS),
    read      (Get,    "/api/mappings/{patient_id}",               Mapping, mappings::list_of_patient).query(mappings::PAGE),
    read      (Get,    "/api/patients/{patient_id}/mappings",      Mapping, mappings::list_of_patient).query(mappings::PAGE),
    read      (Get,    "/api/patients/{patient_id}/mappings/{id}", Mapping, mappings::find),
    signed    (Put,    "/api/mappings/{id}",                       Mapping, mappings::update),
    signed    (Patch,  "/api/mappings/{id}",                       Mapping, mappings::update),
    signed    (Delete, "/api/mappings/{id}",                       Mapping, mappings::delete),
    read      (Get,    "/api/mappings/deleted",                    Mapping, history::deleted::<mappings::History>).query(history::DELETED),
    signed    (Post,   "/api/mappings/{id}/undelete",              Mapping, mappings::undelete).bare(),
    read      (Get,    "/api/patients/{patient_id}/mappings/{id}/history", Mapping, history::list::<mappings::History>).query(history::PAGE),
    read      (Get,    "/api/patients/{patient_id}/mappings/{id}/history/{version}", Mapping, history::find::<mappings::History>),

    admin_read(Get,    "/api/admin/patients",                      Patient, patients::list).query(patients::FILTERS),
    admin_read(Get,    "/api/admin/patients/{id}",                 Patient, patients::find),
    admin     (Put,    "/api/admin/patients/{id}",                 Patient, patients::update),
    admin     (Patch,  "/api/admin/patients/{id}",                 Patient, patients::update),
    admin     (Delete, "/api/admin/patients/{id}",                 Patient, patients::delete),
    admin_read(Get,    "/api/admin/patients/deleted",              Patient, history::deleted::<patients::History>).query(history::ADMIN_DELETED),
    admin     (Post,   "/api/admin/patients/{id}/undelete",        Patient, patients::undelete).bare(),
    admin_read(Get,    "/api/admin/patients/{id}/history",         Patient, history::list::<patients::History>).query(history::PAGE),
    admin_read(Get,    "/api/admin/patients/{id}/history/{version}", Patient, history::find::<patients::History>),
    admin     (Post,   "/api/admin/patients/{id}/shares",          Patient, grants::share),
    admin_read(Get,    "/api/admin/patients/{id}/shares",          Patient, grants::list),
    admin     (Delete, "/api/admin/patients/{id}/shares/{share_id}", Patient, grants::unshare),
    admin_read(Get,    "/api/admin/patients/{id}/access",          Patient, grants::access),
    admin     (Get,    "/api/admin/patients/{id}/access/log",      Patient, grants::log).waiting().query(grants::LOG),
    admin     (Post,   "/api/admin/patients/{id}/transfer",        Patient, transfers::patient),
    admin_read(Get,    "/api/admin/doctors",                       Doctor,  doctors::list).query(doctors::ADMIN_FILTERS),
    admin_read(Get,    "/api/admin/doctors/{id}",                  Doctor,  doctors::find),
    admin     (Put,    "/api/admin/doctors/{id}",                  Doctor,  doctors::update),
    admin     (Patch,  "/api/admin/doctors/{id}",                  Doctor,  doctors::update),
    admin     (Delete, "/api/admin/doctors/{id}",                  Doctor,  doctors::delete).query(doctors::CASCADE),
    admin_read(Get,    "/api/admin/doctors/deleted",               Doctor,  history::deleted::<doctors::History>).query(history::ADMIN_DELETED),
    admin     (Post,   "/api/admin/doctors/{id}/undelete",         Doctor,  doctors::undelete).bare(),
    admin_read(Get,    "/api/admin/doctors/{id}/history",          Doctor,  history::list::<doctors::History>).query(history::PAGE),
    admin_read(Get,    "/api/admin/doctors/{id}/history/{version}", Doctor,  history::find::<doctors::History>),
    admin_read(Get,    "/api/admin/mappings",                      Mapping, mappings::list).query(mappings::ADMIN_FILTERS),
    admin_read(Get,    "/api/admin/mappings/{id}",                 Mapping, mappings::find),
    admin     (Delete, "/api/admin/mappings/{id}",                 Mapping, mappings::delete),
    admin_read(Get,    "/api/admin/mappings/deleted",              Mapping, history::deleted::<mappings::History>).query(history::ADMIN_DELETED),
    admin     (Post,   "/api/admin/mappings/{id}/undelete",        Mapping, mappings::undelete).bare(),
    admin_read(Get,    "/api/admin/mappings/{id}/history",         Mapping, history::list::<mappings::History>).query(history::PAGE),
    admin_read(Get,    "/api/admin/mappings/{id}/history/{version}", Mapping, history::find::<mappings::History>),
    admin     (Post,   "/api/admin/users",                         User,    users::admin::create).hashing(),
    admin_read(Get,    "/api/admin/users",                         User,    users::admin::list).query(users::ADMIN_FILTERS),
    admin_read(Get,    "/api/admin/users/{id}",                    User,    users::admin::find),
    admin     (Put,    "/api/admin/users/{id}",                    User,    users::admin::update),
    admin     (Patch,  "/api/admin/users/{id}",                    User,    users::admin::update),
    admin_read(Get,    "/api/admin/users/{id}/history",            User,    history::list::<users::History>).query(history::PAGE),
    admin_read(Get,    "/api/admin/users/{id}/history/{version}",  User,    history::find::<users::History>),
    admin     (Post,   "/api/admin/users/{id}/reset",              User,    resets::admin::issue).bare(),
    admin     (Delete, "/api/admin/users/{id}/totp",               User,    totp::admin::take_away),
    admin     (Post,   "/api/admin/users/{id}/transfer",           Patient, transfers::user),
    admin     (Post,   "/api/admin/users/{id}/unlock",             User,    users::admin::unlock).bare(),
    admin     (Delete, "/api/admin/users/{id}/sessions",           User,    sessions::admin::delete_all),
    admin     (Post,   "/api/admin/groups",                        CareGroup, groups::admin::create),
    admin_read(Get,    "/api/admin/groups",                        CareGroup, groups::admin::list).query(groups::PAGE),
    admin_read(Get,    "/api/admin/groups/{id}",                   CareGroup, groups::admin::find),
    admin     (Put,    "/api/admin/groups/{id}",                   CareGroup, groups::admin::update),
    admin     (Patch,  "/api/admin/groups/{id}",                   CareGroup, groups::admin::update),
    admin     (Delete, "/api/admin/groups/{id}",                   CareGroup, groups::admin::delete).query(groups::FORCE),
    admin_read(Get,    "/api/admin/groups/{id}/members",           CareGroup, groups::admin::members).query(groups::PAGE),
    admin     (Put,    "/api/admin/groups/{id}/members/{user_id}", CareGroup, groups::admin::add).bare(),
    admin     (Delete, "/api/admin/groups/{id}/members/{user_id}", CareGroup, groups::admin::remove).query(groups::FORCE),
    admin_read(Get,    "/api/admin/emergency-access",              Grant,   emergency::admin::list).query(emergency::FILTERS),
    admin     (Post,   "/api/admin/emergency-access/{id}/review",  Grant,   emergency::admin::review),
    admin_read(Get,    "/api/admin/audit",                         Audit,   audit::list).query(audit::FILTERS),

    open      (Get,    "/fhir/R4/metadata",                                 capabilities::metadata).fhir(),
    read      (Get,    "/fhir/R4/Patient",                         Patient, search::patients).fhir(),
    read      (Post,   "/fhir/R4/Patient/_search",                 Patient, search::patients).fhir(),
    read      (Get,    "/fhir/R4/Patient/{id}",                    Patient, patient::read).fhir(),
    read      (Get,    "/fhir/R4/Patient/{id}/_history",           Patient, fhir_history::of_patient).fhir(),
    read      (Get,    "/fhir/R4/Patient/{id}/_history/{vid}",     Patient, fhir_history::version_of_patient).fhir(),
    read      (Get,    "/fhir/R4/Patient/{id}/CareTeam",           Patient, search::team_of_patient).fhir(),
    read      (Get,    "/fhir/R4/Patient/{id}/$everything",        Patient, everything::everything).fhir(),
    read      (Post,   "/fhir/R4/Patient/{id}/$everything",        Patient, everything::everything).fhir(),
    read      (Get,    "/fhir/R4/Practitioner",                    Doctor,  search::practitioners).fhir(),
    read      (Post,   "/fhir/R4/Practitioner/_search",            Doctor,  search::practitioners).fhir(),
    read      (Get,    "/fhir/R4/Practitioner/{id}",               Doctor,  practitioner::read).fhir(),
    read      (Get,    "/fhir/R4/Practitioner/{id}/_history",      Doctor,  fhir_history::of_practitioner).fhir(),
    read      (Get,    "/fhir/R4/Practitioner/{id}/_history/{vid}", Doctor,  fhir_history::version_of_practitioner).fhir(),
    read      (Get,    "/fhir/R4/PractitionerRole",                Doctor,  search::roles).fhir(),
    read      (Post,   "/fhir/R4/PractitionerRole/_search",        Doctor,  search::roles).fhir(),
    read      (Get,    "/fhir/R4/PractitionerRole/{id}",           Doctor,  practitioner_role::read).fhir(),
    read      (Get,    "/fhir/R4/CareTeam",                        Patient, search::teams).fhir(),
    read      (Post,   "/fhir/R4/CareTeam/_search",                Patient, search::teams).fhir(),
    read      (Get,    "/fhir/R4/CareTeam/{id}",                   Patient, care_team::read).fhir(),
    read      (Get,    "/fhir/R4/DocumentReference",               Patient, search::documents).fhir(),
    read      (Post,   "/fhir/R4/DocumentReference/_search",       Patient, search::documents).fhir(),
    read      (Get,    "/fhir/R4/DocumentReference/{id}",          Patient, document_reference::read).fhir(),

    open      (Get,    "/healthz",                                          health::healthz),
    open      (Get,    "/readyz",                                           health::readyz).waiting(),
    open      (Get,    "/metrics",                                          health::metrics),
    open      (Get,    "/openapi.json",                                     docs::openapi),
    open      (Get,    "/docs",                                             docs::page),
    open      (Get,    "/",                                                 docs::home),
];

const fn open(method: Method, pattern: &'static str, handler: fn(&App, &Request) -> Result<Response>) -> Route {
    line(method, pattern, None, Handler::Open(handler))
}

const fn signed(
    method: Method,
    pattern: &'static str,
    resource: Resource,
    handler: fn(&App, &Request, &auth::User) -> Result<Response>,
) -> Route {
    line(method, pattern, Some(resource), Handler::Signed(handler))
}

const fn admin(
    method: Method,
    pattern: &'static str,
    resource: Resource,
    handler: fn(&App, &Request, &auth::Admin) -> Result<Response>,
) -> Route {
    line(method, pattern, Some(resource), Handler::Admin(handler))
}

const fn create(
    method: Method,
    pattern: &'static str,
    resource: Resource,
    handler: fn(&Read, &auth::User) -> Result<Creation>,
) -> Route {
    Route { lane: Lane::Reading, ..line(method, pattern, Some(resource), Handler::Create(handler)) }
}

const fn read(
    method: Method,
    pattern: &'static str,
    resource: Resource,
    handler: fn(&Read, &auth::User) -> Result<Ask>,
) -> Route {
    line(method, pattern, Some(resource), Handler::Read(handler))
}

const fn admin_read(
    method: Method,
    pattern: &'static str,
    resource: Resource,
    handler: fn(&Read, &auth::Admin) -> Result<Ask>,
) -> Route {
    line(method, pattern, Some(resource), Handler::AdminRead(handler))
}

const fn line(method: Method, pattern: &'static str, resource: Option<Resource>, handler: Handler) -> Route {
    let lane = if matches!(method, Get) { Lane::Reading } else { Lane::Waiting };
    let has_fields = matches!(method, Post | Put | Patch);
    Route {
        method,
        pattern,
        lane,
        resource,
        handler,
        query: &[],
        has_fields,
        is_rate_limited: false,
        gate: None,
        is_fhir: false,
    }
}

impl Route {
    /// Who may call it.
    pub fn access(&self) -> Access {
        match self.handler {
            Handler::Open(_) => Access::Anyone,
            Handler::Signed(_) | Handler::Create(_) | Handler::Read(_) => Access::User,
            Handler::Admin(_) | Handler::AdminRead(_) => Access::Admin,
        }
    }

    const fn waiting(self) -> Route {
        Route { lane: Lane::Waiting, ..self }
    }

    const fn hashing(self) -> Route {
        Route { lane: Lane::Hashing, ..self }
    }

    /// It checks or sets a password, for somebody who has to prove their identity.
    const fn checking(self) -> Route {
        self.hashing().limited()
    }

    const fn only_if(self, gate: Gate) -> Route {
        Route { gate: Some(gate), ..self }
    }

    const fn limited(self) -> Route {
        Route { is_rate_limited: true, ..self }
    }

    const fn query(self, query: &'static [&'static str]) -> Route {
        Route { query, ..self }
    }

    const fn bare(self) -> Route {
        Route { has_fields: false, ..self }
    }

    /// Whether its method is GET or POST, a FHIR route reads.
    const fn fhir(self) -> Route {
        Route { is_fhir: true, lane: Lane::Reading, has_fields: false, ..self }
    }

    /// Whether it counts as a change of the user. To end a session does not, nor what has a limit of its own, such as a new password: a
    /// stolen token must not keep its owner from that.
    pub fn is_change(&self) -> bool {
        let is_exempt = self.method == Get || self.is_rate_limited || self.resource == Some(Session);
        !is_exempt && matches!(self.handler, Handler::Signed(_) | Handler::Admin(_) | Handler::Create(_))
    }
}

/// The names of the places in a pattern.
pub fn place_names(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
