//! The two fields of a server's certificate that its verification does not hand out.
//!
//! A certificate is nested elements of one shape, a tag, a length and that many bytes (DER), so a reader of ten lines does
//! instead of a parser crate. It decides about nobody's trust: that is the verifier's work.

/// What [`fields`] finds.
pub(super) struct Fields<'a> {
    /// The identifier of the algorithm that the issuer signed the certificate with.
    pub(super) signature_algorithm: &'a [u8],
    /// The server's public key with its algorithm, the element as a whole.
    pub(super) public_key: &'a [u8],
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

/// Finds the fields; nothing if the bytes are no certificate.
pub(super) fn fields(der: &[u8]) -> Option<Fields<'_>> {
    let signed = element(element(der)?.content)?;
    let signature_algorithm = element(element(signed.rest)?.content)?.content;
    // Version (left out in the first one), serial number, algorithm, issuer, validity, subject, then the key.
    let first = element(signed.content)?;
    let mut field = if first.tag == 0xa0 {
        element(first.rest)?
    } else {
        first
    };
    for _ in 0..5 {
        field = element(field.rest)?;
    }
    Some(Fields {
        signature_algorithm,
        public_key: field.whole,
    })
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&[tag, length], after) = der.split_first_chunk::<2>()?;
    let (length, after) = if length < 0x80 {
        (usize::from(length), after)
    } else {
        // 0x80 and the number of bytes that hold the length; four of them are already more than a certificate has.
        let (bytes, after) = after
            .split_at_checked(usize::from(length & 0x7f))
            .filter(|(bytes, _)| bytes.len() <= 4)?;
        (
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
            after,
        )
    };
    let (content, rest) = after.split_at_checked(length)?;
    Some(Element {
        tag,
        content,
        whole: &der[..der.len() - rest.len()],
        rest,
    })
}
