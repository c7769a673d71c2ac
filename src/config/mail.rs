//! The rules of the variables for mail, which are set together or not at all.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::fields::Config;
use crate::address::Mailbox;

/// The longest address of the front end's page.
const URL_MAX: usize = 500;

type Checked = Result<(), String>;

/// `SENDMAIL` names a program that is there; its arguments follow, separated by blanks.
pub fn sendmail(config: &Config) -> Checked {
    let Some(command) = &config.sendmail else { return Ok(()) };
    let program = command.split_whitespace().next().unwrap_or_default();
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    let is_there = if program.contains('/') {
        is_program(Path::new(program))
    } else {
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| is_program(&folder.join(program)))
    };
    if is_there {
        Ok(())
    } else {
        Err(format!("must name a program that takes mail, but there is no program {program}"))
    }
}

/// `MAIL_FROM` is one address, with or without a name.
pub fn mail_from(config: &Config) -> Checked {
    match config.mail_from.as_deref().map(Mailbox::parse) {
        Some(None) => Err("must be an e-mail address like clinic@example.org or Clinic <clinic@example.org>".into()),
        _ => Ok(()),
    }
}

/// `RESET_URL` is an address of the web to which a token can be appended.
pub fn reset_url(config: &Config) -> Checked {
    let Some(url) = &config.reset_url else { return Ok(()) };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let is_url = !rest.is_empty()
        && !rest.starts_with('/')
        && url.len() <= URL_MAX
        && url.bytes().all(|byte| byte.is_ascii_graphic());
    let is_plain = !url.contains(['<', '>', '"', '\\', '^', '`', '{', '|', '}']);
    if is_url && is_plain {
        Ok(())
    } else {
        Err("must be an address like https://clinic.example/reset?token= to which the token is appended".into())
    }
}

/// All three, or none: the variables that are missing.
pub fn is_whole(config: &Config) -> Checked {
    let set = [
        ("SENDMAIL", config.sendmail.is_some()),
        ("MAIL_FROM", config.mail_from.is_some()),
        ("RESET_URL", config.reset_url.is_some()),
    ];
    let missing: Vec<&str> = set.iter().filter(|(_, is_set)| !is_set).map(|(name, _)| *name).collect();
    if matches!(missing.len(), 0 | 3) {
        return Ok(());
    }
    Err(format!("{} must be set as well: SENDMAIL, MAIL_FROM and RESET_URL belong together", missing.join(" and ")))
}
