//! Checks the parameters that the driver knows, and sets them on its [`Config`]. The defaults suit a service: it gives up on a silent
//! machine before its own clients give up on the service.

use std::time::Duration;

use postgres::config::{ChannelBinding, LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres::Config;

use super::text::Settings;

/// Where PostgreSQL listens unless told otherwise.
const DEFAULT_PORT: u16 = 5432;
/// How long one address may take to accept a connection, so that a dead host is passed over while a request still waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// When a silent machine counts as gone. After 2 s of silence it is asked every second, and a connection ends if nothing that was
/// sent is acknowledged for 4 s. So a request that waits for it fails within 5 s.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(2);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVES_COUNT: u32 = 2;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(4);

/// Takes every parameter that is not about TLS out of `settings` and sets it, or its default.
pub(super) fn set_all(config: &mut Config, settings: &mut Settings) -> Result<(), String> {
    set_session(config, settings)?;
    set_patience(config, settings)?;
    set_hosts(config, settings)
}

/// The same parameters with one of the hosts each, in their order.
pub(super) fn one_host_each(settings: &Settings, all: &Config) -> Result<Vec<Config>, String> {
    let lists = ["host", "hostaddr", "port"];
    let mut configs = Vec::new();
    for index in 0..all.get_hosts().len() {
        let mut one = settings.clone();
        for list in lists {
            if let Some(text) = one.get_mut(list) {
                // One port may stand for all hosts.
                let items: Vec<&str> = text.split(',').collect();
                *text = items.get(index).or(items.first()).copied().unwrap_or_default().to_owned();
            }
        }
        let mut config = Config::new();
        set_all(&mut config, &mut one)?;
        configs.push(config);
    }
    Ok(configs)
}

/// The user, the password, the database, and the settings of the session.
fn set_session(config: &mut Config, settings: &mut Settings) -> Result<(), String> {
    if let Some(user) = settings.remove("user") {
        config.user(&user);
    }
    if let Some(password) = settings.remove("password") {
        config.password(password);
    }
    if let Some(dbname) = settings.remove("dbname") {
        config.dbname(&dbname);
    }
    if let Some(options) = settings.remove("options") {
        config.options(&options);
    }
    let fallback = settings.remove("fallback_application_name");
    let name = settings.remove("application_name").or(fallback);
    config.application_name(name.as_deref().unwrap_or(env!("CARGO_PKG_NAME")));
    let binding = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    config.channel_binding(choice(settings, "channel_binding", &binding)?.unwrap_or(ChannelBinding::Prefer));
    // These two name what the driver does anyway: it speaks UTF-8 and never encrypts with Kerberos.
    choice(settings, "client_encoding", &[("utf8", ()), ("UTF8", ()), ("UTF-8", ()), ("auto", ())])?;
    choice(settings, "gssencmode", &[("disable", ()), ("prefer", ())])?;
    Ok(())
}

/// The time limits. Zero leaves a limit to the system, as in libpq.
fn set_patience(config: &mut Config, settings: &mut Settings) -> Result<(), String> {
    let seconds = Duration::from_secs(1);
    if let Some(limit) = duration(settings, "connect_timeout", seconds, CONNECT_TIMEOUT)? {
        config.connect_timeout(limit);
    }
    if let Some(limit) = duration(settings, "tcp_user_timeout", Duration::from_millis(1), TCP_USER_TIMEOUT)? {
        config.tcp_user_timeout(limit);
    }
    if let Some(idle) = duration(settings, "keepalives_idle", seconds, KEEPALIVES_IDLE)? {
        config.keepalives_idle(idle);
    }
    if let Some(interval) = duration(settings, "keepalives_interval", seconds, KEEPALIVES_INTERVAL)? {
        config.keepalives_interval(interval);
    }
    match whole_number(settings, "keepalives_count")? {
        None => drop(config.keepalives_retries(KEEPALIVES_COUNT)),
        Some(0) => {}
        Some(count) => drop(config.keepalives_retries(count)),
    }
    config.keepalives(whole_number(settings, "keepalives")? != Some(0));
    Ok(())
}

/// The hosts, their order, and whether the server must allow writes.
fn set_hosts(config: &mut Config, settings: &mut Settings) -> Result<(), String> {
    let hosts = settings.remove("host");
    let addresses = settings.remove("hostaddr");
    // An address without a name is its own name: that is what a certificate is then compared with.
    let names = hosts.as_ref().or(addresses.as_ref());
    let names = names.ok_or("`host`: missing; give the server's name, or the directory of its socket")?;
    for name in names.split(',').map(str::trim) {
        let is_directory = name.starts_with('/');
        if name.is_empty() || (!is_directory && name.contains(['@', '/', ' '])) {
            return Err(must_be("host", "names, addresses or socket directories, separated by commas"));
        }
        config.host(name);
    }
    for address in addresses.iter().flat_map(|list| list.split(',')) {
        let address = address.trim().parse();
        config.hostaddr(address.map_err(|_| must_be("hostaddr", "IP addresses, separated by commas"))?);
    }
    let ports = settings.remove("port").unwrap_or_default();
    for port in ports.split(',').map(str::trim) {
        let port = if port.is_empty() { Ok(DEFAULT_PORT) } else { port.parse() };
        let port = port.ok().filter(|port| *port != 0);
        config.port(port.ok_or_else(|| must_be("port", "a number from 1 to 65535, or a list of them"))?);
    }
    let (hosts, addresses, ports) = (config.get_hosts().len(), config.get_hostaddrs().len(), config.get_ports().len());
    if addresses != 0 && addresses != hosts {
        return Err(must_be("hostaddr", "as many addresses as `host` has names"));
    }
    if ports != 1 && ports != hosts {
        return Err(must_be("port", "one number, or as many as there are hosts"));
    }
    let order = [("disable", LoadBalanceHosts::Disable), ("random", LoadBalanceHosts::Random)];
    config.load_balance_hosts(choice(settings, "load_balance_hosts", &order)?.unwrap_or(LoadBalanceHosts::Disable));
    let session = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
    ];
    config.target_session_attrs(choice(settings, "target_session_attrs", &session)?.unwrap_or(TargetSessionAttrs::Any));
    Ok(())
}

/// Takes a parameter that has few values. `None` if it is not given.
fn choice<T: Copy>(settings: &mut Settings, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(text) = settings.remove(name) else {
        return Ok(None);
    };
    let found = choices.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        format!("`{name}`: must be one of {} (others are not supported)", words.join(", "))
    })
}

/// Takes a time in `unit`s: the default if it is not given, `None` if it is zero or less.
fn duration(
    settings: &mut Settings,
    name: &str,
    unit: Duration,
    default: Duration,
) -> Result<Option<Duration>, String> {
    let Some(text) = settings.remove(name) else {
        return Ok(Some(default));
    };
    let units: i32 = text.trim().parse().map_err(|_| {
        must_be(name, if unit.as_secs() == 1 { "a whole number of seconds" } else { "a whole number of milliseconds" })
    })?;
    Ok(u32::try_from(units).ok().filter(|units| *units != 0).map(|units| unit * units))
}

fn whole_number(settings: &mut Settings, name: &str) -> Result<Option<u32>, String> {
    settings.remove(name).map(|text| text.trim().parse().map_err(|_| must_be(name, "a whole number"))).transpose()
}

/// The error for a value that breaks its parameter's rule; the value itself is left out.
pub(super) fn must_be(name: &str, rule: &str) -> String {
    format!("`{name}`: must be {rule}")
}
