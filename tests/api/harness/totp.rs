//! An authenticator, made from what the API gives for one (RFC 6238).

use ring::hmac;
use serde_json::Value;

/// A secret that an authenticator holds.
#[derive(Clone)]
pub struct Totp {
    pub secret: String,
    key: Vec<u8>,
}

impl Totp {
    /// What `POST /api/auth/totp` answers with.
    pub fn new(data: &Value) -> Totp {
        let secret = data["secret"].as_str().expect("a secret").to_string();
        Totp { key: decoded(&secret), secret }
    }

    /// The bytes of the secret, as a dump shows them.
    pub fn key_in_hex(&self) -> String {
        self.key.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The code of this moment.
    pub fn code(&self) -> String {
        self.code_in(0)
    }

    /// The code so many steps after the present one.
    pub fn code_in(&self, steps: i64) -> String {
        let step = jiff::Timestamp::now().as_second() / 30 + steps;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        let mac = hmac::sign(&key, &step.to_be_bytes());
        let offset = usize::from(mac.as_ref()[19] & 15);
        let four: [u8; 4] = mac.as_ref()[offset..offset + 4].try_into().expect("four bytes");
        format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
    }

    /// A code that is wrong now, and in the steps around.
    pub fn wrong(&self) -> String {
        let right: Vec<String> = (-3..=3).map(|steps| self.code_in(steps)).collect();
        (0..).map(|number| format!("{number:06}")).find(|code| !right.contains(code)).expect("a code")
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let digit = |letter: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter);
    let of_eight = |eight: &[u8]| {
        let number = eight.iter().fold(0_u64, |number, letter| number << 5 | digit(*letter).expect("base32") as u64);
        number.to_be_bytes()[3..].to_vec()
    };
    text.as_bytes().chunks_exact(8).flat_map(of_eight).collect()
}
