//! Passwords: the rules for new ones, and bcrypt. Nothing here uses the database, so no connection is held while hashing.

use crate::config::Config;
use crate::error::Error;
use crate::validate::Checked;

/// How many bytes bcrypt reads. A longer password is refused, never cut.
pub const MAX_BYTES: usize = 72;

/// The most common passwords of 8 characters or more, in lower case, one a line. To read them all takes a thousandth of a hash.
const COMMON: &str = include_str!("common_passwords.txt");

/// Checks a new password on its own. It is taken exactly as it was sent.
pub fn check_rules(password: &str, config: &Config) -> Checked<()> {
    if password.chars().count() < config.password_min_length {
        Err(format!("must have at least {} characters", config.password_min_length).into())
    } else if password.len() > MAX_BYTES {
        Err(format!("must have at most {MAX_BYTES} bytes").into())
    } else if password.contains(char::is_control) {
        Err("must not contain control characters".into())
    } else if config.password_blocklist && is_common(&password.to_lowercase()) {
        Err("must not be a common password".into())
    } else {
        Ok(())
    }
}

fn is_common(password: &str) -> bool {
    COMMON.lines().any(|common| common == password)
}

/// The rule that [`is_the_email`] checks.
pub const IS_THE_EMAIL: &str = "must not be the e-mail address or the part before its @";

/// Whether the password is the e-mail address or the part before its `@`.
pub fn is_the_email(password: &str, email: &str) -> bool {
    let password = password.to_lowercase();
    let email = email.to_lowercase();
    password == email || email.split_once('@').is_some_and(|(local, _)| password == local)
}

/// Hashes a new password, which must have passed the rules: the library would cut a longer one. (Its variant that refuses to cut
/// also counts the terminating zero byte, and so has no room for the 72nd byte.)
pub fn hash(password: &str, config: &Config) -> Result<String, Error> {
    bcrypt::hash(password, config.bcrypt_cost).map_err(|error| Error::Internal(format!("bcrypt: {error}")))
}

/// Whether the password matches the hash. Whatever the answer, it takes as long as one hash of cost `work_cost`, so that the time
/// reveals nothing. After a cheaper hash, dummies of its own cost and of each cost above it make up the difference (2ᶜ + 2ᶜ +
/// 2ᶜ⁺¹ + … = 2ʷ). Without a hash (no such account), one dummy does all the work.
pub fn verify(password: &str, hash: Option<&str>, work_cost: u32) -> bool {
    let hash = hash.filter(|_| can_be_a_password(password));
    let Some((hash, cost)) = hash.and_then(|hash| Some((hash, cost_of(hash)?))) else {
        work_for_nothing(work_cost);
        return false;
    };
    let matches = bcrypt::verify(password, hash).unwrap_or(false);
    (cost..work_cost).for_each(work_for_nothing);
    matches
}

/// bcrypt would read only the beginning of a longer password. It also repeats the password, followed by a NUL, until it has 72
/// bytes, so that `P` and `P\0P` are the same to it.
fn can_be_a_password(password: &str) -> bool {
    password.len() <= MAX_BYTES && !password.contains('\0')
}

fn work_for_nothing(cost: u32) {
    let _ = bcrypt::verify("a password", &dummy_hash(cost));
}

/// The cost that every password check takes: the configured cost, or that of the most expensive stored hash if that is higher
/// (because `BCRYPT_COST` was lowered, or another node has a higher one).
pub fn work_cost(most_expensive: Option<&str>, config: &Config) -> u32 {
    most_expensive.and_then(|cost| cost.parse().ok()).unwrap_or(0).max(config.bcrypt_cost)
}

/// Whether the hash is cheaper than the configuration asks for.
pub fn is_outdated(hash: &str, config: &Config) -> bool {
    cost_of(hash).is_some_and(|cost| cost < config.bcrypt_cost)
}

/// `$2b$12$…`
fn cost_of(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
}

/// A hash that matches no known password, made without hashing. The last letters of salt and hash encode fewer bits than the
/// others, and their spare bits must be zero, as in `u` and `C`. With other letters, the library would return without hashing.
fn dummy_hash(cost: u32) -> String {
    format!("$2b${cost:02}${}{}", "abcdefghijklmnopqrstuu", "C".repeat(31))
}
