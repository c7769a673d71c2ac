//! E-mail addresses: which text is one, and a sender as `MAIL_FROM` names it.

/// Whether this is an address as HTML defines it (WHATWG HTML, "valid e-mail address"), with a dot in its domain.
pub fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| is_local_part(local) && is_domain(domain))
}

/// An address, and the name before it, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub name: String,
    pub address: String,
}

impl Mailbox {
    /// `name@example.org` or `Clinic <name@example.org>`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Mailbox> {
        let (name, address) = match text.split_once('<') {
            Some((name, rest)) => (name.trim().trim_matches('"'), rest.strip_suffix('>')?),
            None => ("", text),
        };
        let is_name = name.chars().count() <= 200 && !name.contains(char::is_control);
        (is_name && is_email(address)).then(|| Mailbox { name: name.into(), address: address.into() })
    }
}

fn is_local_part(local: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    (1..=64).contains(&local.len())
        && local.bytes().all(allowed)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}
