//! For this repository's tests, fuzzers and benchmarks, which look inside the crate. It is no interface: it may change with any commit.

pub use crate::auth::limits::Limiter;
pub use crate::auth::secret;
pub use crate::auth::tokens::{Claims, Tokens};
pub use crate::config::environment::misspelt;
pub use crate::config::variables::{VARIABLES, Variable};
pub use crate::config::{connections_needed, hashing_threads};
pub use crate::database::Database;
pub use crate::database_url::DatabaseUrl;
pub use crate::db::{Db, PLAN_BY_INDEX};
pub use crate::envelope::Response;
pub use crate::error::{Counted, Error};
pub use crate::housekeeper::Housekeeper;
pub use crate::metrics::Metrics;
pub use crate::network::{client_address, client_network, client_site};
pub use crate::private_postgres::{PrivatePostgres, Settings};
pub use crate::request::{Headers, Method, Request};
pub use crate::routes::{Access, ROUTES, Route, place_names};
pub use crate::sql::{Queries, Query, Rows, parse_file};

pub mod commands {
    pub use crate::commands::set_role;
}

pub mod migrate {
    pub use crate::migrate::{load, run};
}

pub mod records {
    pub use crate::records::{DOCTOR, Field, Kind, MAPPING, PATIENT, Set};
}

pub mod openapi {
    pub use crate::openapi::{document, document_in_3_0, page, path_of};
}

#[cfg(target_os = "linux")]
pub mod transport {
    pub use crate::transport::{
        AddressHook, Cause, Config, Field, Intake, Message, Refusal, Request, Room, RoomHook, Server,
    };
}

pub mod validate {
    pub use crate::validate::{
        Form, Mode, QueryParameters, birth_date, email, line, lines, parse_birth_date, parse_id, parse_time, phone,
        record_id, whole_number,
    };
}
