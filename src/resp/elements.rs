//! A whole reply taken apart by one level: its elements, as they stand. They are found, not read.

use super::ReplyScanner;

/// How deep an element may be.
const DEPTH_MAX: usize = 16;

/// The elements of an array or set, each with its type and its end; `None` for anything else.
pub(crate) fn elements(aggregate: &[u8]) -> Option<Vec<&[u8]>> {
    let end = memchr::memchr(b'\n', aggregate)?;
    if !matches!(aggregate.first(), Some(b'*' | b'~')) || aggregate[1..].starts_with(b"-") {
        return None;
    }
    let mut rest = &aggregate[end + 1..];
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let len = ReplyScanner::new(DEPTH_MAX).scan(rest).ok()??;
        let (element, after) = rest.split_at(len);
        elements.push(element);
        rest = after;
    }
    Some(elements)
}
