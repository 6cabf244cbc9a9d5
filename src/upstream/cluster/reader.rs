//! A whole reply, element by element. Without recursion and without a copy: the caller knows how
//! deep what it reads is.

/// One element. Of an aggregate, its head: the elements follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// An array, set, push or map of so many elements; a map's keys and values are two each.
    Array(usize),
    /// A string of any kind.
    Text(&'a [u8]),
    /// An integer.
    Number(i64),
    /// Nothing.
    Null,
    /// An error.
    Error(&'a [u8]),
}

/// The elements of a reply that a scanner has found whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(reply: &'a [u8]) -> Self {
        Self { rest: reply }
    }

    /// The next element, `None` where there is none or it cannot be read.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        let end = memchr::memchr(b'\r', rest)?;
        let (line, rest) = (&rest[..end], rest.get(end + 2..)?);
        self.rest = rest;
        let length = || crate::resp::long(line);
        match kind {
            b'*' | b'~' | b'>' | b'%' => match usize::try_from(length()?) {
                Ok(count) if kind == b'%' => Some(Element::Array(count.checked_mul(2)?)),
                Ok(count) => Some(Element::Array(count)),
                Err(_) => Some(Element::Null),
            },
            b'$' | b'=' => {
                let Ok(length) = usize::try_from(length()?) else { return Some(Element::Null) };
                let text = rest.get(..length)?;
                self.rest = rest.get(length.checked_add(2)?..)?;
                Some(Element::Text(text))
            }
            b':' => Some(Element::Number(length()?)),
            b'_' => Some(Element::Null),
            b'-' => Some(Element::Error(line)),
            b'+' | b',' | b'#' | b'(' => Some(Element::Text(line)),
            _ => None,
        }
    }

    /// The head of an aggregate.
    pub(super) fn array(&mut self) -> Option<usize> {
        match self.next()? {
            Element::Array(count) => Some(count),
            _ => None,
        }
    }

    /// Passes over one element, with all that is in it.
    pub(super) fn skip(&mut self) -> Option<()> {
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            if let Element::Array(count) = self.next()? {
                left = left.checked_add(count)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_in_order_and_nested_ones_can_be_passed_over() {
        let mut reader = Reader::new(b"*4\r\n*2\r\n:1\r\n*1\r\n+x\r\n%1\r\n+a\r\n:2\r\n$-1\r\n$2\r\nhi\r\n");
        assert_eq!(reader.next(), Some(Element::Array(4)));
        assert_eq!(reader.skip(), Some(()));
        assert_eq!(reader.next(), Some(Element::Array(2)));
        assert_eq!(reader.next(), Some(Element::Text(b"a")));
        assert_eq!(reader.next(), Some(Element::Number(2)));
        assert_eq!(reader.next(), Some(Element::Null));
        assert_eq!(reader.next(), Some(Element::Text(b"hi")));
        assert_eq!(reader.next(), None);
    }

    #[test]
    fn what_ends_too_early_or_lies_about_its_length_is_nothing() {
        for reply in
            [&b""[..], b"*", b"*1", b"$5\r\nab\r\n", b"$99999999999999999999\r\n", b"?1\r\n", b":x\r\n"]
        {
            assert_eq!(Reader::new(reply).next(), None, "{}", reply.escape_ascii());
        }
        assert_eq!(Reader::new(b"*9223372036854775807\r\n*9223372036854775807\r\n*9\r\n").skip(), None);
    }
}
