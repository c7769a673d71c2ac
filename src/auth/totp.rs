//! The second factor: codes that change every 30 seconds (RFC 6238, with SHA-1 and 6 digits, as every authenticator knows them), and
//! recovery codes for a lost phone.

use ring::hmac;

use super::tokens::{ISSUER, random, token_hash};
use crate::percent;

/// The longest code that a client may send, in characters.
pub const CODE_MAX: usize = 64;
/// How many wrong codes since the last right one lock an account until an admin or a reset unlocks it.
pub const WRONG_CODES_MAX: i32 = 100;

/// How many bytes a secret has (RFC 4226, 4: 160 bits).
const SECRET_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// How many steps the clock of a phone may be off.
const STEPS_OFF: i64 = 1;
/// How many recovery codes there are, and how many random bytes each has.
const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;
/// RFC 4648, 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret.
///
/// # Errors
/// A text for the log if there are no random numbers.
pub fn new_secret() -> Result<[u8; SECRET_BYTES], String> {
    random()
}

/// The secret as an authenticator takes it from a QR code.
pub fn uri(secret: &[u8], email: &str) -> String {
    let (secret, email) = (base32(secret), percent::encode(email));
    format!("otpauth://totp/{ISSUER}:{email}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits=6&period=30")
}

/// The step of which this is the code, if it is near this moment (in seconds since 1970) and after the last step that was used.
pub fn step_of(secret: &[u8], code: &str, now: i64, last_step: i64) -> Option<i64> {
    let code: u32 = code.parse().ok().filter(|_| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()))?;
    let present = now / STEP_SECONDS;
    let mut steps = (present - STEPS_OFF)..=(present + STEPS_OFF);
    steps.find(|step| *step > last_step && code_at(secret, *step) == code)
}

/// HOTP of a step (RFC 4226, 5.3).
fn code_at(secret: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let mac = hmac::sign(&key, &step.to_be_bytes());
    let mac = mac.as_ref();
    let offset = usize::from(mac[mac.len() - 1] & 0xf);
    let number = mac[offset..offset + 4].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    (number & 0x7fff_ffff) % 1_000_000
}

/// A code as it is compared: without blanks, so that `123 456` is one.
pub fn plain(code: &str) -> String {
    code.split_whitespace().collect()
}

/// New recovery codes.
///
/// # Errors
/// A text for the log if there are no random numbers.
pub fn new_recovery_codes() -> Result<Vec<String>, String> {
    let one = |_| {
        let letters = base32(&random::<RECOVERY_BYTES>()?).to_ascii_lowercase();
        let groups: Vec<&str> = (0..letters.len()).step_by(4).map(|start| &letters[start..start + 4]).collect();
        Ok(groups.join("-"))
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// The hash by which a recovery code is looked up, however its letters and groups were typed. It has 80 random bits.
pub fn recovery_hash(code: &str) -> Vec<u8> {
    token_hash(&code.replace('-', "").to_ascii_lowercase())
}

/// Base32 of a number of bytes that five divides, which needs no padding: a secret as an authenticator takes it from a person.
pub fn base32(bytes: &[u8]) -> String {
    let of_five = |five: &[u8]| {
        let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        (0..8).rev().map(move |place| char::from(BASE32[(number >> (place * 5) & 31) as usize])).collect::<String>()
    };
    bytes.chunks_exact(5).map(of_five).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4226, appendix D, and RFC 6238, appendix B: the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfcs() {
        let secret = b"12345678901234567890";
        let hotp = [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (counter, code) in (0..).zip(hotp) {
            assert_eq!(code_at(secret, counter), code, "counter {counter}");
        }
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(secret, code, time, 0), Some(time / 30), "{time}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_or_late_and_only_after_the_last_that_was_used() {
        let (secret, time) = (b"12345678901234567890", 1_111_111_109);
        for (off, is_good) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
            assert_eq!(step_of(secret, "081804", time + off, 0).is_some(), is_good, "{off} s");
        }
        let step = time / 30;
        assert_eq!(step_of(secret, "081804", time, step - 1), Some(step));
        assert_eq!(step_of(secret, "081804", time, step), None);
        for wrong in ["81804", "0081804", "+81804", "08180x", "", "081805"] {
            assert_eq!(step_of(secret, wrong, time, 0), None, "{wrong}");
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648_and_recovery_codes_are_found_however_they_are_typed() {
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let codes = new_recovery_codes().expect("codes");
        assert_eq!((codes.len(), codes[0].len()), (10, 19));
        let (typed, code) = (codes[0].to_uppercase().replace('-', " "), &codes[0]);
        assert_eq!(recovery_hash(&plain(&typed)), recovery_hash(code));
    }
}
