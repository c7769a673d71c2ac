//! Every environment variable that the program reads: name, default, meaning, field and rule. The start, `check`, `help` and the
//! warnings about misspelt names all use this table.
//!
//! To add one, add a field with its default to [`Config`], a row here, and a row in `docs/operations.md` and in `.env.example`, which
//! `tests/api/tidy/documents.rs` checks.

use std::net::ToSocketAddrs;

use super::fields::{Config, LogFormat};
use super::mail;
use crate::database_url::DatabaseUrl;
use crate::network::Network;

/// An environment variable and the field of [`Config`] that it sets.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its default in words. [`Config::default`] holds the value.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
    field: Field,
}

/// How a variable's text becomes a field, and which values are allowed. A broken rule is reported as the end of a sentence: "must
/// be …".
enum Field {
    /// A whole number from the first bound to the second, both included.
    Whole(fn(&mut Config) -> &mut dyn Number, u64, u64),
    /// One of two words: the one for true, and the one for false.
    Switch(fn(&mut Config) -> &mut bool, &'static str, &'static str),
    /// A key of 32 bytes or more, used exactly as given, blanks included.
    Secret(fn(&mut Config) -> &mut Option<String>),
    /// A text, and the rule that it must follow.
    Text(fn(&mut Config, &str), fn(&Config) -> Checked),
    /// A text that is parsed. The field is set only if that succeeds.
    Parsed(fn(&mut Config, &str) -> Checked),
}
use Field::{Parsed, Secret, Switch, Text, Whole};

type Checked = Result<(), String>;

const fn variable(name: &'static str, default: &'static str, field: Field, about: &'static str) -> Variable {
    Variable { name, default, about, field }
}

/// All variables, in the order of `help` and of `docs/operations.md`.
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    variable("HOST", "127.0.0.1", Text(|config, text| config.host = text.into(), host),
        "the address to listen on"),
    variable("PORT", "8080", Whole(|config| &mut config.port, 0, 65_535),
        "0 picks a free port; the line \"listening on http://…\" on standard output says which"),
    variable("DATABASE_URL", "—", Text(|config, text| config.database_url = Some(text.into()), database_url),
        "postgres://…, several hosts, target_session_attrs, sslmode and sslrootcert as libpq means them; unset: the private PostgreSQL"),
    variable("DATA_DIR", "./data", Text(|config, text| config.data_dir = text.into(), data_dir),
        "the private PostgreSQL and the generated secret"),
    variable("JWT_SECRET", "—", Secret(|config| &mut config.jwt_secret),
        "signs access tokens, 32 bytes or more; required with DATABASE_URL, else made once and kept (mode 0600)"),
    variable("JWT_SECRET_PREVIOUS", "—", Secret(|config| &mut config.jwt_secret_previous),
        "the old secret, still accepted while secrets are rotated"),
    variable("JWT_TTL_SECONDS", "3600", Whole(|config| &mut config.jwt_ttl_seconds, 1, 86_400 * 30),
        "how long an access token is valid"),
    variable("BCRYPT_COST", "12", Whole(|config| &mut config.bcrypt_cost, 4, 16),
        "10 to 16; a login with a cheaper stored hash renews the hash, and every login takes the time of the most expensive stored hash"),
    variable("ALLOW_WEAK_HASHING", "0", Switch(|config| &mut config.allow_weak_hashing, "1", "0"),
        "1 allows a BCRYPT_COST from 4, for tests"),
    variable("WORKERS", "one per core, 2 to 64", Whole(|config| &mut config.workers, 1, 1024),
        "threads that receive requests and answer reads, with one connection to PostgreSQL each"),
    variable("DATABASE_POOL", "from the cores", Whole(|config| &mut config.database_pool, 1, 10_000),
        "further connections, and threads that wait on them: 6 per core, 12 to 64, plus those for hashing and background work; raised if too few for WORKERS"),
    variable("MAX_BODY_BYTES", "262144", Whole(|config| &mut config.max_body_bytes, 1, 64 * 1024 * 1024),
        "the longest allowed body of a request"),
    variable("MAX_CONNECTIONS", "1024", Whole(|config| &mut config.max_connections, 1, 1_000_000),
        "open client connections; beyond that, the connection idle longest is closed; if none is idle, the new one gets 503"),
    variable("MAX_CONNECTIONS_PER_ADDRESS", "a quarter of them", Whole(|config| &mut config.max_connections_per_address, 1, 1_000_000),
        "the same for one client address (an IPv6 /48 counts as one); TRUSTED_PROXIES are not counted"),
    variable("MAX_MEMORY_BYTES", "67108864", Whole(|config| &mut config.max_memory_bytes, 32 * 1024 * 1024, 1 << 40),
        "memory for rows, bodies and unsent answers together, at most half of it for one user; a long read that finds no room within 3 s gets 503"),
    variable("CORS_ORIGINS", "none", Text(|config, text| config.cors_origins = items(text), cors_origins),
        "origins that browsers may call from, comma-separated"),
    variable("TRUSTED_PROXIES", "none", Parsed(trusted_proxies),
        "addresses or networks whose X-Forwarded-For counts, comma-separated"),
    variable("AUTH_RATE_PER_MINUTE", "120", Whole(|config| &mut config.auth_rate_per_minute, 0, 1_000_000),
        "requests per client address that check a password or a token; 0 is no limit"),
    variable("CHANGES_PER_MINUTE", "600", Whole(|config| &mut config.changes_per_minute, 0, 1_000_000),
        "creates, updates and deletes of one user; 0 is no limit"),
    variable("LOGIN_MAX_FAILURES", "10", Whole(|config| &mut config.login_max_failures, 1, 1_000_000),
        "wrong passwords in a row before a lock, per account and network"),
    variable("LOGIN_MAX_FAILURES_TOTAL", "100", Whole(|config| &mut config.login_max_failures_total, 1, 1_000_000),
        "wrong passwords in a row before a lock, per account"),
    variable("LOGIN_LOCK_SECONDS", "900", Whole(|config| &mut config.login_lock_seconds, 1, 86_400),
        "how long the account stays locked"),
    variable("PASSWORD_MIN_LENGTH", "8", Whole(|config| &mut config.password_min_length, 1, 72),
        "the shortest new password, in characters"),
    variable("PASSWORD_BLOCKLIST", "on", Switch(|config| &mut config.password_blocklist, "on", "off"),
        "off allows common passwords"),
    variable("REGISTRATION", "open", Switch(|config| &mut config.registration_open, "open", "closed"),
        "closed: only admins make accounts"),
    variable("SENDMAIL", "—", Text(|config, text| config.sendmail = Some(text.into()), mail::sendmail),
        "the program that sends mail from standard input (sendmail, msmtp), with its arguments; `-t -i` are added"),
    variable("MAIL_FROM", "—", Text(|config, text| config.mail_from = Some(text.into()), mail::mail_from),
        "the sender of mail: clinic@example.org or Clinic <clinic@example.org>"),
    variable("RESET_URL", "—", Text(|config, text| config.reset_url = Some(text.into()), mail::reset_url),
        "the page of the front end to which a one-time token is appended; SENDMAIL, MAIL_FROM and RESET_URL are set together"),
    variable("EMERGENCY_MINUTES", "60", Whole(|config| &mut config.emergency_minutes, 1, 1440),
        "how long emergency access lasts"),
    variable("FHIR_BASE_URL", "from the request's Host", Text(|config, text| config.fhir_base_url = Some(text.into()), fhir_base_url),
        "the absolute base of links in FHIR answers: https://clinic.example/fhir/R4"),
    variable("AUDIT_READS", "on", Switch(|config| &mut config.audit_reads, "on", "off"),
        "off records changes and account events only"),
    variable("LOG_FORMAT", "text", Parsed(log_format),
        "json writes one object per line"),
    variable("RUST_LOG", "info", Text(|config, text| config.log_filter = text.into(), log_filter),
        "off, error, warn, info, debug or trace; info,request=warn sets another level for one kind of line"),
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
            Switch(field, on, off) if text == on || text == off => *field(config) = text == on,
            Switch(_, on, off) => return Err(format!("must be {on} or {off}")),
            Secret(field) => *field(config) = Some(value.into()),
            Text(read, _) => read(config, text),
            Parsed(read) => return read(config, text),
        }
        Ok(())
    }

    /// Checks that the field follows its rule, wherever its value came from.
    pub(super) fn check(&self, config: &mut Config) -> Checked {
        match self.field {
            Whole(field, least, most) => {
                let is_within = field(config).get().is_some_and(|number| (least..=most).contains(&number));
                if is_within { Ok(()) } else { Err(whole_number(least, most)) }
            }
            Secret(field) if field(config).as_ref().is_some_and(|secret| secret.len() < 32) => {
                Err("must be 32 bytes or more: `openssl rand -hex 32` prints one".into())
            }
            Text(_, rule) => rule(config),
            Secret(_) | Switch(..) | Parsed(_) => Ok(()),
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
    Err("must be an address of this machine, or a name for one: 127.0.0.1 accepts connections from this machine only, 0.0.0.0 from all".into())
}

fn database_url(config: &Config) -> Checked {
    let Some(text) = &config.database_url else { return Ok(()) };
    DatabaseUrl::parse(text).map(drop).map_err(|problem| format!("must be a PostgreSQL connection string: {problem}"))
}

fn data_dir(config: &Config) -> Checked {
    // A missing folder will be created, and with DATABASE_URL nothing is stored in it.
    if config.database_url.is_some() || !config.data_dir.exists() || config.data_dir.is_dir() {
        return Ok(());
    }
    Err(format!(
        "must be a folder, but {} is a file: choose another folder, or move the file away",
        config.data_dir.display()
    ))
}

fn sql_dir(config: &Config) -> Checked {
    match &config.sql_dir {
        Some(folder) if !folder.is_dir() => Err(format!(
            "must be a folder with the SQL files, but {} is no folder: unset it to use the built-in files",
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

fn fhir_base_url(config: &Config) -> Checked {
    let Some(url) = &config.fhir_base_url else { return Ok(()) };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest.is_some_and(|rest| {
        rest.trim_end_matches('/').ends_with("/fhir/R4")
            && !rest.starts_with('/')
            && !rest.contains(['?', '#', ' ', '"'])
    }) {
        true => Ok(()),
        false => Err("must be an address like https://clinic.example/fhir/R4".into()),
    }
}

fn log_format(config: &mut Config, text: &str) -> Checked {
    config.log_format = match text {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err("must be text or json".into()),
    };
    Ok(())
}

/// Stricter than the logger, which takes a misspelt level for the name of a target and would then log only the lines of that
/// target.
fn log_filter(config: &Config) -> Checked {
    let is_level = |text: &str| text.trim().parse::<log::LevelFilter>().is_ok();
    for part in items(&config.log_filter) {
        if !is_level(part.split_once('=').map_or(&part, |(_, level)| level)) {
            return Err("must be off, error, warn, info, debug or trace, or a list like info,request=warn".into());
        }
    }
    Ok(())
}
