//! The header fields of a request as the application sees them: views into the head's text, which copy nothing.

use super::head::Head;
use super::response::Text;

/// A header field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedHeader<'a> {
    /// The field's name.
    pub field: ReceivedField<'a>,
    /// The field's value, without the white space around it.
    pub value: Text<'a>,
}

/// The name of a header field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedField<'a>(Text<'a>);

impl<'a> ReceivedField<'a> {
    /// The name, in the case in which it came.
    pub fn as_str(self) -> Text<'a> {
        self.0
    }

    /// Whether this is the field `other`, without regard to case.
    pub fn equiv(self, other: &str) -> bool {
        self.0.as_str().eq_ignore_ascii_case(other)
    }
}

/// The header fields of a request, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    head: &'a Head,
    next: usize,
}

impl<'a> Headers<'a> {
    pub(super) fn new(head: &'a Head) -> Headers<'a> {
        Headers { head, next: 0 }
    }

    /// The fields once more.
    pub fn iter(&self) -> Headers<'a> {
        self.clone()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = ReceivedHeader<'a>;

    fn next(&mut self) -> Option<ReceivedHeader<'a>> {
        let (name, value) = self.head.field(self.next)?;
        self.next += 1;
        Some(ReceivedHeader { field: ReceivedField(Text(name)), value: Text(value) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.head.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}
