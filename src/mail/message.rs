//! A message as a mail program takes it: RFC 5322, in ASCII, with names as encoded words (RFC 2047), so that no name and no address can
//! begin a header of its own. Lines end with a line feed alone, which is what such programs expect on standard input.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::address::Mailbox;
use crate::auth::tokens::random_hex;

/// How many bytes of text one encoded word holds: in base64 and with what is around it, it is 75 characters long.
const WORD_BYTES: usize = 45;

/// One message to one person.
pub struct Message<'a> {
    pub from: &'a Mailbox,
    pub name: &'a str,
    pub email: &'a str,
    pub content: Content,
}

/// What it is about.
pub enum Content {
    /// The link with which a password is set.
    Reset { link: String },
    /// The account has another address now.
    Moved,
}

impl Message<'_> {
    /// The whole message.
    ///
    /// # Errors
    /// A text for the log if there are no random numbers.
    pub fn text(&self) -> Result<String, String> {
        let Message { from, name, email, content } = self;
        let (subject, body) = match content {
            Content::Reset { link } => (
                "Set your password",
                format!(
                    "Somebody, probably you, asked for a new password for the account of\n{email}.\n\nSet it here within 24 hours. The \
                     link is good once:\n\n{link}\n\nIf it was not you, ignore this message: nothing has changed.\n"
                ),
            ),
            Content::Moved => (
                "Your e-mail address was changed",
                format!(
                    "The account that had the e-mail address\n{email}\nhas another one now, and this one no longer works for it.\n\nIf it \
                     was not you, tell the people who run the service.\n"
                ),
            ),
        };
        let domain = from.address.rsplit('@').next().unwrap_or_default();
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S +0000");
        let id = random_hex::<16>()?;
        let (from, to) = (mailbox(&from.name, &from.address), mailbox(name, email));
        Ok(format!(
            "From: {from}\nTo: {to}\nSubject: {subject}\nDate: {date}\nMessage-ID: <{id}@{domain}>\nAuto-Submitted: auto-generated\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n{body}"
        ))
    }
}

/// `=?UTF-8?B?…?= <name@example.org>`
fn mailbox(name: &str, address: &str) -> String {
    if name.is_empty() { address.to_string() } else { format!("{}\n <{address}>", encoded(name)) }
}

/// Encoded words, a line each.
fn encoded(text: &str) -> String {
    let mut words = vec![String::new()];
    for character in text.chars() {
        let last = words.len() - 1;
        if words[last].len() + character.len_utf8() > WORD_BYTES {
            words.push(String::from(character));
        } else {
            words[last].push(character);
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(name: &str) -> String {
        let from = Mailbox { name: "Clinic".into(), address: "clinic@example.org".into() };
        let link = "https://clinic.example/reset?token=abc".into();
        let message = Message { from: &from, name, email: "ann@example.org", content: Content::Reset { link } };
        message.text().expect("a message")
    }

    #[test]
    fn no_name_breaks_out_of_its_header() {
        let longest = "ü".repeat(200);
        for name in
            ["Ann", "Ann\r\nBcc: eve@example.org", "\n\nbody", "Ann <eve@example.org>, Bob", "a\0b", "Zoë", &longest]
        {
            let text = to(name);
            let (head, body) = text.split_once("\n\n").expect("a body");
            assert!(body.starts_with("Somebody"), "{name:?}: {text}");
            let names: Vec<&str> =
                head.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(':').next()).collect();
            let expected =
                ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
            assert_eq!(names[..8], expected, "{name:?}");
            assert!(text.is_ascii() && head.lines().all(|line| line.len() <= 78), "{text}");
            assert!(!text.contains('\r') && text.matches("eve@").count() == 0, "{text}");
        }
    }
}
