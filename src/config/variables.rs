//! Every variable that the program reads, once: name, default, meaning, field and rule. The start, `check`, `help`, the README's table
//! and the warnings about misspelt names all come from here.
//!
//! To add one: a field of [`Config`] with its default, a row here, and the README's row that `tests/api/tidy/documents.rs` asks for.

use std::net::ToSocketAddrs;

use super::{Config, LogFormat};
use crate::database_url::DatabaseUrl;
use crate::network::Network;

/// A variable of the environment, and the field of [`Config`] that it sets.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its default in words, which [`Config::default`] holds.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
    field: Field,
}

/// How a variable's text becomes a field, and what the field may hold. A broken rule is the end of a sentence: "must be …".
enum Field {
    /// A whole number from the first bound to the second, both included.
    Whole(fn(&mut Config) -> &mut dyn Number, u64, u64),
    /// `on` or `off`.
    Switch(fn(&mut Config) -> &mut bool),
    /// A key, taken as it stands, blanks included; 32 bytes or more.
    Secret(fn(&mut Config) -> &mut Option<String>),
    /// A text, and the rule that it keeps.
    Text(fn(&mut Config, &str), fn(&Config) -> Checked),
    /// A text whose type is the rule: what cannot be read is not set.
    Parsed(fn(&mut Config, &str) -> Checked),
}
use Field::{Parsed, Secret, Switch, Text, Whole};

type Checked = Result<(), String>;

const fn variable(name: &'static str, default: &'static str, field: Field, about: &'static str) -> Variable {
    Variable { name, default, about, field }
}

/// All of them, in the order of `help` and the README.
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    variable("HOST", "127.0.0.1", Text(|config, text| config.host = text.into(), host),
        "the address to listen on"),
    variable("PORT", "8080", Whole(|config| &mut config.port, 0, 65_535),
        "0 picks a free one; the line \"listening on http://…\" on standard output says which"),
    variable("DATABASE_URL", "—", Text(|config, text| config.database_url = Some(text.into()), database_url),
        "postgres://…, several hosts, target_session_attrs, sslmode and sslrootcert as libpq means them; unset: the private PostgreSQL"),
    variable("DATA_DIR", "./data", Text(|config, text| config.data_dir = text.into(), data_dir),
        "the private PostgreSQL and the generated secret"),
    variable("JWT_SECRET", "—", Secret(|config| &mut config.jwt_secret),
        "signs access tokens, 32 bytes or more; required with DATABASE_URL, else made once and kept (mode 0600)"),
    variable("JWT_SECRET_PREVIOUS", "—", Secret(|config| &mut config.jwt_secret_previous),
        "still accepted while secrets are rotated"),
    variable("JWT_TTL_SECONDS", "3600", Whole(|config| &mut config.jwt_ttl_seconds, 1, 86_400 * 30),
        "how long an access token is good for"),
    variable("BCRYPT_COST", "12", Whole(|config| &mut config.bcrypt_cost, 4, 16),
        "10 to 16; a login with a cheaper stored hash renews it, and every login takes the time of the most expensive one"),
    variable("ALLOW_WEAK_HASHING", "0", Parsed(allow_weak_hashing),
        "1 allows a BCRYPT_COST from 4, for tests"),
    variable("WORKERS", "one a core, 2 to 64", Whole(|config| &mut config.workers, 1, 1024),
        "threads that receive requests and answer reads, with one connection to PostgreSQL each"),
    variable("DATABASE_POOL", "from the cores", Whole(|config| &mut config.database_pool, 1, 10_000),
        "further connections, and threads that wait on them: 6 a core, 12 to 64, and those for hashing and background; never fewer than workers"),
    variable("MAX_BODY_BYTES", "262144", Whole(|config| &mut config.max_body_bytes, 1, 64 * 1024 * 1024),
        "the longest body of a request, inclusive"),
    variable("MAX_CONNECTIONS", "1024", Whole(|config| &mut config.max_connections, 1, 1_000_000),
        "open client connections; for one more the one idle longest is closed, or, where none is idle, the new one is answered 503"),
    variable("MAX_CONNECTIONS_PER_ADDRESS", "a quarter of them", Whole(|config| &mut config.max_connections_per_address, 1, 1_000_000),
        "the same, of one client address (an IPv6 /48 is one); TRUSTED_PROXIES are not counted"),
    variable("MAX_MEMORY_BYTES", "67108864", Whole(|config| &mut config.max_memory_bytes, 32 * 1024 * 1024, 1 << 40),
        "what rows, bodies and unsent answers hold together, half of it for one user; a long read that finds no room for 3 s is 503"),
    variable("CORS_ORIGINS", "none", Text(|config, text| config.cors_origins = items(text), cors_origins),
        "origins that browsers may call from, comma-separated"),
    variable("TRUSTED_PROXIES", "none", Parsed(trusted_proxies),
        "addresses or networks whose X-Forwarded-For counts, comma-separated"),
    variable("AUTH_RATE_PER_MINUTE", "120", Whole(|config| &mut config.auth_rate_per_minute, 0, 1_000_000),
        "requests per client address that check a password or a token; 0 is no limit"),
    variable("CHANGES_PER_MINUTE", "600", Whole(|config| &mut config.changes_per_minute, 0, 1_000_000),
        "creates, updates and deletes of one user; 0 is no limit"),
    variable("LOGIN_MAX_FAILURES", "10", Whole(|config| &mut config.login_max_failures, 1, 1_000_000),
        "wrong passwords in a row, per account and network"),
    variable("LOGIN_MAX_FAILURES_TOTAL", "100", Whole(|config| &mut config.login_max_failures_total, 1, 1_000_000),
        "wrong passwords in a row, per account"),
    variable("LOGIN_LOCK_SECONDS", "900", Whole(|config| &mut config.login_lock_seconds, 1, 86_400),
        "how long the account is then locked"),
    variable("PASSWORD_MIN_LENGTH", "8", Whole(|config| &mut config.password_min_length, 1, 72),
        "characters of a new password"),
    variable("PASSWORD_BLOCKLIST", "on", Switch(|config| &mut config.password_blocklist),
        "off allows common passwords"),
    variable("AUDIT_READS", "on", Switch(|config| &mut config.audit_reads),
        "off records changes and account events only"),
    variable("LOG_FORMAT", "text", Parsed(log_format),
        "json is one object a line"),
    variable("RUST_LOG", "info", Text(|config, text| config.log_filter = text.into(), log_filter),
        "off, error, warn, info, debug or trace; info,request=warn differs for one kind of line"),
    variable("SQL_DIR", "—", Text(|config, text| config.sql_dir = Some(text.into()), sql_dir),
        "read the SQL files from this folder instead of those built in"),
];

impl Variable {
    /// Sets the field from a value that is not blank.
    pub(super) fn read(&self, config: &mut Config, value: &str) -> Checked {
        let text = value.trim();
        match self.field {
            Whole(field, least, most) => {
                let number = text.parse().ok().filter(|number| field(config).set(*number));
                return number.map(drop).ok_or_else(|| whole_number(least, most));
            }
            Switch(field) => match text {
                "on" => *field(config) = true,
                "off" => *field(config) = false,
                _ => return Err("must be on or off".into()),
            },
            Secret(field) => *field(config) = Some(value.into()),
            Text(read, _) => read(config, text),
            Parsed(read) => return read(config, text),
        }
        Ok(())
    }

    /// Whether the field keeps its rule, wherever its value is from.
    pub(super) fn check(&self, config: &mut Config) -> Checked {
        match self.field {
            Whole(field, least, most) => {
                let is_within = field(config).get().is_some_and(|number| (least..=most).contains(&number));
                if is_within { Ok(()) } else { Err(whole_number(least, most)) }
            }
            Secret(field) if field(config).as_ref().is_some_and(|secret| secret.len() < 32) => {
                Err("must be 32 bytes or more: `openssl rand -hex 32` prints such a one".into())
            }
            Text(_, rule) => rule(config),
            Secret(_) | Switch(_) | Parsed(_) => Ok(()),
        }
    }
}

/// A field of any whole-number type.
trait Number {
    fn get(&self) -> Option<u64>;
    fn set(&mut self, number: u64) -> bool;
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Number for T {
    fn get(&self) -> Option<u64> {
        (*self).try_into().ok()
    }

    fn set(&mut self, number: u64) -> bool {
        T::try_from(number).map(|number| *self = number).is_ok()
    }
}

fn whole_number(least: u64, most: u64) -> String {
    format!("must be a whole number from {least} to {most}")
}

fn host(config: &Config) -> Checked {
    let addresses = (config.host.as_str(), config.port).to_socket_addrs();
    if addresses.is_ok_and(|mut addresses| addresses.next().is_some()) {
        return Ok(());
    }
    Err("must be an address of this machine, or a name that stands for one: 127.0.0.1 for this machine alone, 0.0.0.0 for all".into())
}

fn database_url(config: &Config) -> Checked {
    let Some(text) = &config.database_url else { return Ok(()) };
    DatabaseUrl::parse(text)
        .map(drop)
        .map_err(|problem| format!("must be a connection string of PostgreSQL: {problem}"))
}

fn data_dir(config: &Config) -> Checked {
    // What is not there yet is made; with a database of one's own nothing is kept there.
    if config.database_url.is_some() || !config.data_dir.exists() || config.data_dir.is_dir() {
        return Ok(());
    }
    Err(format!("must be a folder, and {} is a file: name another, or move the file away", config.data_dir.display()))
}

fn sql_dir(config: &Config) -> Checked {
    match &config.sql_dir {
        Some(folder) if !folder.is_dir() => Err(format!(
            "must be a folder with the SQL files, and {} is none: unset it for the built-in ones",
            folder.display()
        )),
        _ => Ok(()),
    }
}

fn items(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect()
}

fn cors_origins(config: &Config) -> Checked {
    for origin in &config.cors_origins {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if authority.is_none_or(|authority| authority.is_empty() || authority.contains(['/', ' ', '*'])) {
            return Err("must list origins like https://clinic.example, without a path".into());
        }
    }
    Ok(())
}

fn trusted_proxies(config: &mut Config, text: &str) -> Checked {
    let networks: Option<Vec<Network>> = items(text).iter().map(|item| Network::parse(item)).collect();
    config.trusted_proxies = networks.ok_or("must list addresses or networks like 10.0.0.0/8")?;
    Ok(())
}

fn allow_weak_hashing(config: &mut Config, text: &str) -> Checked {
    config.allow_weak_hashing = match text {
        "1" => true,
        "0" => false,
        _ => return Err("must be 1 or 0".into()),
    };
    Ok(())
}

fn log_format(config: &mut Config, text: &str) -> Checked {
    config.log_format = match text {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err("must be text or json".into()),
    };
    Ok(())
}

/// Stricter than the logger, to which a misspelt level is the name of a target: it would write nothing but the lines of that one.
fn log_filter(config: &Config) -> Checked {
    let is_level = |text: &str| text.trim().parse::<log::LevelFilter>().is_ok();
    for part in items(&config.log_filter) {
        if !is_level(part.split_once('=').map_or(&part, |(_, level)| level)) {
            return Err("must be off, error, warn, info, debug or trace, or a list like info,request=warn".into());
        }
    }
    Ok(())
}
