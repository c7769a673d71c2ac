//! Reads fields of a server's certificate that rustls does not hand out.
//!
//! A certificate consists of nested elements of one shape: a tag, a length and that many bytes (DER). So ten lines read it, and no
//! parser is needed. Whether a certificate is trusted is decided by the verifier, not here.

/// What [`fields`] finds.
pub(super) struct Fields<'a> {
    /// The identifier of the algorithm that the issuer signed the certificate with.
    pub(super) signature_algorithm: &'a [u8],
    /// Whether it names itself as its issuer.
    pub(super) names_itself: bool,
    /// The server's public key with its algorithm, the element as a whole.
    pub(super) public_key: &'a [u8],
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

/// Finds the fields. `None` if the bytes are not a certificate.
pub(super) fn fields(der: &[u8]) -> Option<Fields<'_>> {
    let signed = element(element(der)?.content)?;
    let signature_algorithm = element(element(signed.rest)?.content)?.content;
    // The version may be left out; then come number, algorithm, issuer, validity, subject and key.
    let first = element(signed.content)?;
    let number = if first.tag == 0xa0 { element(first.rest)? } else { first };
    let issuer = element(element(number.rest)?.rest)?;
    let subject = element(element(issuer.rest)?.rest)?;
    let public_key = element(subject.rest)?.whole;
    Some(Fields { signature_algorithm, names_itself: issuer.whole == subject.whole, public_key })
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&[tag, length], after) = der.split_first_chunk::<2>()?;
    let (length, after) = if length < 0x80 {
        (usize::from(length), after)
    } else {
        // 0x80 and the number of bytes that hold the length; four of them are already more than a certificate has.
        let (bytes, after) =
            after.split_at_checked(usize::from(length & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), after)
    };
    let (content, rest) = after.split_at_checked(length)?;
    Some(Element { tag, content, whole: &der[..der.len() - rest.len()], rest })
}
