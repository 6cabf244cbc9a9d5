//! The arguments of a whole request that the scanner has accepted.

/// The arguments of `request`, which must be the bytes of one accepted request in
/// the strict form; anything else ends the iteration early.
#[must_use]
pub fn args(request: &[u8]) -> Args<'_> {
    let rest = memchr::memchr(b'\n', request).map_or(&[][..], |end| &request[end + 1..]);
    Args { rest }
}

/// See [`args`].
#[derive(Debug, Clone)]
pub struct Args<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = memchr::memchr(b'\r', self.rest)?;
        let length = usize::try_from(super::integer(self.rest.get(1..line)?)?).ok()?;
        let start = line + 2;
        let argument = self.rest.get(start..start.checked_add(length)?)?;
        self.rest = self.rest.get(start + length + 2..)?;
        Some(argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_out_as_they_went_in() {
        let words: [&[u8]; 4] = [b"SET", b"", b"\r\n$3\r\n", b"value"];
        let request = crate::resp::write::command(&words);
        assert_eq!(args(&request).collect::<Vec<_>>(), words);
        assert_eq!(args(b"").next(), None);
        assert_eq!(args(b"*1\r\n$9\r\nshort\r\n").next(), None);
    }
}
