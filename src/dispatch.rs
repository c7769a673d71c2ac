//! The path from a request to its handler: the table prepared for lookup, and the checks before the handler. 404 and 405 are decided
//! here.

use matchit::Router;

use crate::app::App;
use crate::audit::{Action, Entry};
use crate::auth::{self, Actor};
use crate::config::Config;
use crate::envelope::{Response, Shown};
use crate::error::{Error, Result};
use crate::handlers::ask::{Ask, Next, Read};
use crate::handlers::creation::Creation;
use crate::request::{Method, Request};
use crate::routes::{Access, Handler, Lane, ROUTES, Route, place_names};

/// The routes of one path.
struct Path {
    /// Indexes into [`ROUTES`].
    routes: Vec<usize>,
    /// The value of the `Allow` header.
    allow: String,
}

/// What a request's path and method lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An index into [`ROUTES`].
    Route(usize),
    /// `OPTIONS` on a known path; the index of the path.
    Options(usize),
}

impl Target {
    pub fn lane(self) -> Lane {
        self.route().map_or(Lane::Reading, |index| ROUTES[index].lane)
    }

    /// Whether the configuration allows it.
    pub fn allowed(self, config: &Config) -> Result<()> {
        self.route().and_then(|index| ROUTES[index].gate).map_or(Ok(()), |gate| gate(config))
    }

    /// Whether it counts against the rate limit of the client's address.
    pub fn is_rate_limited(self) -> bool {
        self.route().is_some_and(|index| ROUTES[index].is_rate_limited)
    }

    /// The index into [`ROUTES`], if it is a route.
    pub fn route(self) -> Option<usize> {
        match self {
            Target::Route(index) => Some(index),
            Target::Options(_) => None,
        }
    }
}

/// The table, prepared for lookup.
pub struct Routes {
    router: Router<usize>,
    paths: Vec<Path>,
}

impl Routes {
    /// # Errors
    /// If two lines of the table contradict each other.
    pub fn new() -> std::result::Result<Routes, String> {
        let mut patterns: Vec<String> = Vec::new();
        let mut paths: Vec<Path> = Vec::new();
        for (index, route) in ROUTES.iter().enumerate() {
            let pattern = with_numbered_places(route.pattern);
            match patterns.iter().position(|present| *present == pattern) {
                Some(path) => paths[path].routes.push(index),
                None => {
                    patterns.push(pattern);
                    paths.push(Path { routes: vec![index], allow: String::new() });
                }
            }
        }
        let mut router = Router::new();
        for (index, (pattern, path)) in patterns.iter().zip(&mut paths).enumerate() {
            router.insert(pattern.as_str(), index).map_err(|error| format!("{pattern}: {error}"))?;
            let mut methods: Vec<&str> = path.routes.iter().map(|route| ROUTES[*route].method.name()).collect();
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            methods.push("OPTIONS");
            path.allow = methods.join(", ");
        }
        Ok(Routes { router, paths })
    }

    /// Finds the route of the request, and stores the values in its path for the handler. A trailing slash makes no difference.
    pub fn find(&self, request: &mut Request) -> Result<Target> {
        let path = match request.path.strip_suffix('/') {
            Some("") | None => request.path.as_str(),
            Some(path) => path,
        };
        let found = self.router.at(path).map_err(|_| Error::NoRoute)?;
        let (index, known) = (*found.value, &self.paths[*found.value]);
        let method = if request.method == Method::Head { Method::Get } else { request.method };
        if method == Method::Options {
            return Ok(Target::Options(index));
        }
        let route = known.routes.iter().copied().find(|route| ROUTES[*route].method == method);
        let is_form = || known.routes.iter().all(|route| ROUTES[*route].pattern.ends_with("/_search"));
        let route = route.ok_or_else(|| match method {
            // Not even a search: the form of one is all that there is.
            Method::Get if is_form() => Error::NoRoute,
            _ => Error::MethodNotAllowed(known.allow.clone()),
        })?;
        let values: Vec<String> = found.params.iter().map(|(_, value)| value.to_string()).collect();
        request.parameters = place_names(ROUTES[route].pattern).zip(values).collect();
        request.query_names = ROUTES[route].query;
        Ok(Target::Route(route))
    }

    /// Takes a request as far as it goes without waiting for the database. `None` if it must wait first.
    ///
    /// # Errors
    /// The refusal of a check or of the handler. `user` then says who was refused.
    pub fn begin(
        &self,
        app: &App,
        request: &Request,
        target: Target,
        user: &mut Option<auth::User>,
    ) -> Result<Option<Step>> {
        let route = match target {
            Target::Options(path) => return Ok(Some(self.options(path))),
            Target::Route(index) => &ROUTES[index],
        };
        if route.access() != Access::Anyone {
            *user = auth::remembered_user(&app.guard, request)?;
            if user.is_none() {
                return Ok(None);
            }
        }
        call(app, request, route, user.as_ref()).map(Some)
    }

    /// Continues a request on a thread that may wait for the database, until its answer or its question is known. `begun` is how far
    /// it has come.
    pub fn resume(
        &self,
        app: &App,
        request: &Request,
        target: Target,
        begun: Option<Step>,
        user: &mut Option<auth::User>,
    ) -> Result<Step> {
        let route = match target {
            Target::Options(path) => return Ok(self.options(path)),
            Target::Route(index) => &ROUTES[index],
        };
        let mut is_same = true;
        if route.access() != Access::Anyone {
            // The request may have been in a queue for a while: the token is checked again.
            let known = auth::user(&app.guard, &app.db, &app.sql, request)?;
            is_same = user.as_ref() == Some(&known);
            *user = Some(known);
        }
        match begun.filter(|_| is_same) {
            Some(begun) => Ok(begun),
            None => call(app, request, route, user.as_ref()),
        }
    }

    /// The methods of a known path.
    fn options(&self, path: usize) -> Step {
        Step::Answer(Response::empty(204).with_header("Allow", self.paths[path].allow.clone()))
    }
}

/// What a handler returns: the answer, or what the database must do first.
pub enum Step {
    Answer(Response),
    /// The question for the database is known.
    Ask(Ask),
    /// The statement that makes its record is known.
    Create(Creation),
}

impl From<Next> for Step {
    fn from(next: Next) -> Step {
        match next {
            Next::Answer(response) => Step::Answer(response),
            Next::Ask(ask) => Step::Ask(ask),
        }
    }
}

/// Checks the request and calls its handler. The contract defines the order of the checks: token, role, content type, query, and
/// then those of the handler.
fn call(app: &App, request: &Request, route: &Route, user: Option<&auth::User>) -> Result<Step> {
    let known = || user.ok_or(Error::Unauthenticated);
    let user = || known().and_then(|user| check(app, request, route, user).map(|()| user));
    let admin = || {
        let admin = auth::admin(known()?.clone())?;
        check(app, request, route, admin.user()).map(|()| admin)
    };
    match route.handler {
        Handler::Open(handler) => {
            check_shape(request, route)?;
            handler(app, request).map(Step::Answer)
        }
        Handler::Signed(handler) => handler(app, request, user()?).map(Step::Answer),
        Handler::Admin(handler) => handler(app, request, &admin()?).map(Step::Answer),
        Handler::Create(handler) => handler(&Read::new(app, request), user()?).map(Step::Create),
        Handler::Read(handler) => handler(&Read::new(app, request), user()?).map(Step::Ask),
        Handler::AdminRead(handler) => handler(&Read::new(app, request), &admin()?).map(Step::Ask),
    }
}

/// The rate limit of the user's changes, and the shape of the request. A change that is refused later counts as well, because
/// checking it costs just as much.
fn check(app: &App, request: &Request, route: &Route, user: &auth::User) -> Result<()> {
    if route.is_change() {
        app.guard.take_change(user.id)?;
    }
    check_shape(request, route)
}

/// The audit entry for this outcome: a read, or a refusal. A user whose token was valid a moment ago may be refused as well: see
/// `acting` in `sql/`.
pub fn entry(
    app: &App,
    request: &Request,
    target: Target,
    user: Option<&auth::User>,
    result: &Result<Response>,
) -> Option<Entry> {
    let (action, resource, resource_id, resource_ids) = match result.as_ref().map_err(Error::plain) {
        Ok(response) if app.config.audit_reads || response.in_emergency => {
            let action = |usual| if response.in_emergency { Action::EmergencyRead } else { usual };
            match response.shown.as_ref()? {
                Shown::Record(resource, id) => (action(Action::Read), *resource, Some(*id), None),
                Shown::List(resource, ids) => (action(Action::List), *resource, None, Some(ids.clone())),
            }
        }
        Err(Error::Forbidden(_) | Error::ReadOnly | Error::Unauthenticated) => {
            (Action::Denied, ROUTES[target.route()?].resource?, request.id("id").ok(), None)
        }
        _ => return None,
    };
    Some(Entry {
        at: jiff::Timestamp::now(),
        actor_id: user?.id,
        action,
        resource,
        resource_id,
        resource_ids,
        ip: request.client,
        request_id: request.id.clone(),
    })
}

/// A body must be JSON without a content coding. If the route has no fields, the body must be absent or an empty object; if it has no
/// query parameters, there must be none. FHIR has rules of its own, which its handlers check (`fhir/negotiation.rs`).
fn check_shape(request: &Request, route: &Route) -> Result<()> {
    if route.is_fhir {
        return Ok(());
    }
    if !request.body.is_empty() {
        let media_type = request.headers.get("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/json") {
            return Err(Error::UnsupportedMediaType("The body must be application/json"));
        }
        let coding = request.headers.get("content-encoding").unwrap_or("identity");
        if !coding.trim().eq_ignore_ascii_case("identity") {
            return Err(Error::UnsupportedMediaType("The body must not have a Content-Encoding"));
        }
        if !route.has_fields {
            request.new_record()?.finish(&[])?;
        }
    }
    if route.query.is_empty() { request.query().finish() } else { Ok(()) }
}

/// `/api/patients/{id}` → `/api/patients/{p0}`: lines that differ only in these names have the same path.
fn with_numbered_places(pattern: &'static str) -> String {
    let mut numbered = pattern.to_string();
    for (number, name) in place_names(pattern).enumerate() {
        numbered = numbered.replace(&format!("{{{name}}}"), &format!("{{p{number}}}"));
    }
    numbered
}
