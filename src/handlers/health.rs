//! The probes: whether the process is alive, whether it can serve, and its metrics.

use crate::app::App;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::metrics::Family;
use crate::request::Request;

/// `GET /healthz`: the process answers. It does not use the database.
pub fn healthz(_app: &App, _request: &Request) -> Result<Response> {
    Ok(Response::success("The process answers", ()))
}

/// `GET /readyz`: the database answers, and this program can serve its schema, which may be newer.
pub fn readyz(app: &App, _request: &Request) -> Result<Response> {
    let row = app.db.query_one(&app.sql.health.schema_version, &[])?;
    let (version, breaking): (i32, i32) = (row.get("version"), row.get("breaking"));
    let known = app.schema_version;
    if version < known {
        return Err(Error::Unavailable(format!("the schema is at version {version}, not {known}")));
    }
    if breaking > known {
        return Err(Error::Unavailable(format!(
            "the schema is at version {version}; install a newer program than {known}"
        )));
    }
    Ok(Response::success("The database answers", ()))
}

/// `GET /metrics`: the Prometheus text format.
pub fn metrics(app: &App, _request: &Request) -> Result<Response> {
    let (used, idle, size) = app.db.pool_state();
    app.metrics.audit_buffered.set(app.audit.len());
    app.metrics.audit_refused.set(app.audit.refused());
    let one = |name, help, kind, value| Family { name, help, kind, samples: vec![(String::new(), value)] };
    let states = [("used", used), ("idle", idle), ("max", size)];
    let mut extra = vec![
        one("memory_held_bytes", "Memory that long bodies and answers hold.", "gauge", app.memory.held() as f64),
        Family {
            name: "database_pool_connections",
            help: "Database connections by state.",
            kind: "gauge",
            samples: states.map(|(state, count)| (format!("state=\"{state}\""), f64::from(count))).to_vec(),
        },
        Family {
            name: "build_info",
            help: "The version of the program.",
            kind: "gauge",
            samples: vec![(format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1.0)],
        },
        one(
            "database_pipe_connections",
            "Connections on which reads of several requests share a round trip, in use or idle.",
            "gauge",
            f64::from(app.db.pipes()),
        ),
        one("process_start_time_seconds", "When the process started, since 1970.", "gauge", app.started_at),
    ];
    extra.extend(app.transport_metrics.get().map_or_else(Vec::new, |metrics| metrics()));
    Ok(Response::page("text/plain; version=0.0.4; charset=utf-8", app.metrics.page(&extra).into_bytes()))
}
