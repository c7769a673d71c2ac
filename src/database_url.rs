//! `DATABASE_URL`: where the database is and how the connection is protected, with the same meaning as in libpq.
//!
//! The text is read here rather than by the driver, because the driver knows neither `sslrootcert` nor the verifying values of
//! `sslmode`, takes `tcp_user_timeout` for seconds where libpq has milliseconds, and gives errors that name no rule. The
//! parameters that it does know are set on its [`tokio_postgres::Config`], one call each.
//!
//! Differences from libpq: only this text counts (no `PG…` variable, password file, service file or `~/.postgresql`); a
//! `sslrootcert` that cannot be read is an error in every mode that needs it, so that a typing mistake never turns checking off;
//! `prefer` never checks the certificate and falls back to plain text only where the server offers no TLS; a host's name is
//! looked for among the certificate's alternative names only, not in its common name; and `allow`, client certificates and
//! revocation lists are refused by name.

mod certificate;
mod connect;
mod parameters;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use postgres::Client;
use postgres::config::{ChannelBinding, Host, LoadBalanceHosts, SslMode as DriverSslMode, TargetSessionAttrs};
use tokio_postgres::Config;

pub use connect::ConnectError;
use connect::{DatabaseHost, Opening};
pub(crate) use connect::{TIMELINE, has_timeline, timeline};
use parameters::must_be;
use text::Settings;
pub use tls::Tls;
use verify::{Check, Roots};

/// Where the database is and how the connection is protected, as `DATABASE_URL` says.
#[derive(Clone, Debug)]
pub struct DatabaseUrl {
    /// The driver's settings: everything except the trust in certificates.
    pub config: Config,
    /// Makes TLS connections, if `sslmode` asks for them.
    pub tls: Tls,
    sslmode: SslMode,
    sslrootcert: Option<String>,
    /// The hosts one by one. All clones share what is known of them.
    hosts: Arc<Vec<Arc<DatabaseHost>>>,
    /// The newest timeline of a host that allows writes.
    newest: Arc<AtomicU32>,
}

/// `sslmode`, weakest first. libpq's `allow` (plain text first, TLS if refused) protects nothing and is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl DatabaseUrl {
    /// Reads a `postgres://` URL or a list of `name=value`, and the file of `sslrootcert` where the mode checks certificates.
    ///
    /// # Errors
    /// One line that names the parameter and its rule, and never repeats a value that could be the password.
    pub fn parse(text: &str) -> Result<DatabaseUrl, String> {
        let mut settings = text::settings(text)?;
        let mut config = Config::new();
        let all = settings.clone();
        parameters::set_all(&mut config, &mut settings)?;
        let (sslmode, sslrootcert) = protection(&config, &mut settings)?;
        if let Some(name) = settings.keys().next() {
            return Err(format!("`{}`: no such parameter, or one that is not supported", text::shown(name)));
        }
        let check = match (sslmode, &sslrootcert) {
            (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => Check::Nothing,
            (SslMode::Require | SslMode::VerifyCa, Some(file)) => Check::Chain(Roots::read(file)?),
            (SslMode::VerifyFull, Some(file)) => Check::ChainAndName(Roots::read(file)?),
            (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
                return Err(format!(
                    "`sslrootcert`: sslmode={sslmode} needs it, a PEM file of authorities or `system`"
                ));
            }
        };
        let driver_mode = match sslmode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Prefer => DriverSslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => DriverSslMode::Require,
        };
        config.ssl_mode(driver_mode);
        let mut hosts = Vec::new();
        for mut host in parameters::one_host_each(&all, &config)? {
            host.ssl_mode(driver_mode);
            hosts.push(Arc::new(DatabaseHost::new(host)));
        }
        Ok(DatabaseUrl {
            config,
            tls: Tls::new(check)?,
            sslmode,
            sslrootcert,
            hosts: Arc::new(hosts),
            newest: Arc::default(),
        })
    }

    /// Opens a connection to the first host that accepts it and has the `target_session_attrs`.
    pub fn connect(&self) -> Result<Client, ConnectError> {
        self.open(connect::client)
    }

    /// The same, but `open` opens the connection.
    pub(crate) fn open<C: Send + 'static>(&self, open: Opening<C>) -> Result<C, ConnectError> {
        let is_random = self.config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        connect::first(&self.hosts, &self.newest, is_random, &self.tls, open)
    }

    /// Whether there is another host to try when one is silent.
    #[must_use]
    pub fn has_several_hosts(&self) -> bool {
        self.hosts.len() > 1
    }

    /// Warnings for the operator at the start, one line each with the remedy: connections to another machine on which records can
    /// be read, or whose server is not verified.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let danger = match self.sslmode {
            SslMode::Disable => "is not encrypted",
            SslMode::Prefer => "is encrypted only if the server offers it",
            SslMode::Require if self.knows_the_server() => return Vec::new(),
            SslMode::Require => "is encrypted, but the identity of the server is not verified",
            SslMode::VerifyCa | SslMode::VerifyFull => return Vec::new(),
        };
        let remote = self.remote_hosts();
        if remote.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "the way to the database on {} {danger} (sslmode={}): set sslmode=verify-full and sslrootcert=FILE, the PEM file of \
             the server's authority, or sslrootcert=system",
            remote.join(", "),
            self.sslmode,
        )]
    }

    /// The effective settings as one line of `name=value`, fit for a log: the password is never in it.
    #[must_use]
    pub fn masked(&self) -> String {
        let config = &self.config;
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(directory) => directory.display().to_string(),
        });
        let ports = config.get_ports().iter().map(u16::to_string);
        let session = match config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => Some("read-write"),
            TargetSessionAttrs::ReadOnly => Some("read-only"),
            _ => None,
        };
        let settings = [
            ("host", Some(hosts.collect::<Vec<_>>().join(","))),
            ("port", Some(ports.collect::<Vec<_>>().join(","))),
            ("dbname", config.get_dbname().map(str::to_owned)),
            ("user", config.get_user().map(str::to_owned)),
            ("password", config.get_password().map(|_| "***".to_owned())),
            ("sslmode", Some(self.sslmode.to_string())),
            ("sslrootcert", self.sslrootcert.clone()),
            ("target_session_attrs", session.map(str::to_owned)),
        ];
        let shown = settings.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", quoted(&value?))));
        shown.collect::<Vec<_>>().join(" ")
    }

    /// Whether `require` verifies the server after all: by its certificate, or because a login bound to the TLS session proves
    /// that both ends know the password.
    fn knows_the_server(&self) -> bool {
        self.sslrootcert.is_some() || self.config.get_channel_binding() == ChannelBinding::Require
    }

    /// The hosts that are neither this machine nor a socket on it, as they were written.
    fn remote_hosts(&self) -> Vec<&str> {
        let addresses = self.config.get_hostaddrs();
        let mut remote = Vec::new();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let Host::Tcp(name) = host else { continue };
            let address = addresses.get(index).copied().or_else(|| name.parse().ok());
            if !address.map_or(name == "localhost", |address| address.is_loopback()) {
                remote.push(name.as_str());
            }
        }
        remote
    }
}

impl SslMode {
    const ALL: [SslMode; 5] =
        [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

    fn name(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The effective mode, after what libpq concludes from the other parameters, and the file of the authorities.
fn protection(config: &Config, settings: &mut Settings) -> Result<(SslMode, Option<String>), String> {
    let sslrootcert = settings.remove("sslrootcert");
    let system = sslrootcert.as_deref() == Some(verify::SYSTEM);
    let sslmode = match settings.remove("sslmode").as_deref() {
        // The system's store holds a hundred authorities: without the name, any of their customers would do.
        None if system => SslMode::VerifyFull,
        None => SslMode::Prefer,
        Some("allow") => {
            return Err(
                "`sslmode`: allow is not supported; prefer asks for TLS first, require insists on it".to_owned()
            );
        }
        Some(text) => {
            let mode = SslMode::ALL.into_iter().find(|mode| mode.name() == text);
            mode.ok_or_else(|| must_be("sslmode", "disable, prefer, require, verify-ca or verify-full"))?
        }
    };
    if system && sslmode < SslMode::VerifyFull {
        return Err(format!("`sslrootcert`: system needs sslmode=verify-full, not {sslmode}"));
    }
    let hosts = config.get_hosts();
    let sockets = hosts.iter().filter(|host| matches!(host, Host::Unix(_))).count();
    if sockets == hosts.len() {
        // There is no wire, so there is no TLS: PostgreSQL offers none on a socket, and libpq ignores the mode.
        return Ok((SslMode::Disable, None));
    }
    if sockets > 0 && sslmode >= SslMode::Require {
        return Err(format!("`host`: a socket's directory beside other hosts does not go with sslmode={sslmode}"));
    }
    Ok((sslmode, sslrootcert))
}

/// A value as it is written in a list of `name=value`, always on one line.
fn quoted(value: &str) -> String {
    let plain =
        !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\'' || c == '\\');
    if plain { value.to_owned() } else { format!("'{}'", value.escape_debug()) }
}
