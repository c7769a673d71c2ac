//! Reads the two forms of a connection string, a URL and a list of `name=value`, into one map of settings.
//!
//! This module knows the syntax only; its caller knows what a setting means. No error quotes a value, because a part of a password
//! with an unescaped character can appear in any place.

use std::collections::BTreeMap;

use crate::percent;

/// Settings by name. A later one has replaced an earlier one; an empty one counts as not given, as in libpq.
pub(super) type Settings = BTreeMap<String, String>;

const ESCAPE_HINT: &str =
    "write `@` as %40, `/` as %2F, `:` as %3A, `?` as %3F, `%` as %25 within a user or a password";

/// Reads a `postgres://` or `postgresql://` URL or a list of `name=value`.
pub(super) fn settings(text: &str) -> Result<Settings, String> {
    let text = text.trim();
    let url = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    let mut settings = match url {
        Some(rest) => url_settings(rest)?,
        None => listed_settings(text)?,
    };
    settings.retain(|_, value| !value.is_empty());
    Ok(settings)
}

/// `user:password@host:port,host:port/dbname?name=value&name=value`, every part optional.
fn url_settings(url: &str) -> Result<Settings, String> {
    let mut settings = Settings::new();
    let mut rest = url;
    if let Some(end) = rest.find(['@', '/'])
        && rest[end..].starts_with('@')
    {
        let (user, password) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
        settings.insert("user".into(), decoded("user", user)?);
        settings.insert("password".into(), decoded("password", password)?);
        rest = &rest[end + 1..];
    }
    // libpq would take the first `@` as the end of the password and look for a host with a funny name.
    if rest.contains('@') {
        return Err(format!("an `@` is not allowed after the host begins: {ESCAPE_HINT}"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, dbname) = rest.split_once('/').unwrap_or((rest, ""));
    settings.insert("dbname".into(), decoded("dbname", dbname)?);
    if !hosts.is_empty() {
        insert_hosts(&mut settings, hosts)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a parameter after the `?` has no `=`")?;
        let (name, value) = (decoded("a parameter", name)?, decoded(shown(name), value)?);
        // libpq knows this pair from other drivers' URLs.
        if name == "ssl" && value == "true" {
            settings.insert("sslmode".into(), "require".into());
        } else {
            settings.insert(name, value);
        }
    }
    Ok(settings)
}

/// Adds the lists of hosts and ports of `host:port,[host]:port,host`.
fn insert_hosts(settings: &mut Settings, text: &str) -> Result<(), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[').map(|bracketed| bracketed.split_once(']')) {
            None => part.split_once(':').unwrap_or((part, "")),
            Some(Some((host, ""))) => (host, ""),
            Some(Some((host, port))) if port.starts_with(':') => (host, &port[1..]),
            Some(_) => {
                return Err("`host`: an IPv6 address must be written [address] or [address]:port".to_owned());
            }
        };
        hosts.push(decoded("host", host)?);
        ports.push(decoded("port", port)?);
    }
    let list = |parts: Vec<String>| match parts.iter().all(String::is_empty) {
        true => String::new(),
        false => parts.join(","),
    };
    settings.insert("host".into(), list(hosts));
    settings.insert("port".into(), list(ports));
    Ok(())
}

/// Undoes the percent-encoding of one part of a URL. A `+` stays a plus, as in libpq.
fn decoded(name: &str, text: &str) -> Result<String, String> {
    let invalid = || format!("`{name}`: a `%` must begin two hexadecimal digits that make UTF-8 text; {ESCAPE_HINT}");
    percent::decode(text).filter(|decoded| !decoded.contains('\0')).ok_or_else(invalid)
}

/// `name=value name='value with spaces'`; a backslash takes the next character as it is.
fn listed_settings(text: &str) -> Result<Settings, String> {
    let mut settings = Settings::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .map(|(name, after)| (name.trim_end(), after.trim_start()))
            .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
            .ok_or(
                "not a postgres:// URL, and a part of it is not name=value (a value with spaces must stand in '…')",
            )?;
        let (value, after) =
            listed_value(after).ok_or_else(|| format!("`{}`: the closing ' is missing", shown(name)))?;
        settings.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(settings)
}

/// The value at the start of `text`, and the text behind it. `None` if its closing quote is missing.
fn listed_value(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(inside) => (true, inside),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if quoted => return Some((value, &text[at + 1..])),
            character if !quoted && character.is_whitespace() => return Some((value, &text[at..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    (!quoted).then_some((value, ""))
}

/// A parameter's name as an error may show it: something that is not a name may be a piece of a password.
pub(super) fn shown(name: &str) -> &str {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name { name } else { "(not a name)" }
}
