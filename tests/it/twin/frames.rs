//! Where a reply ends, and a reply with its parts made alike. Works on bytes: most replies
//! are never more than compared.

use std::ops::Range;

/// How many bytes the first frame of `bytes` takes, if it is all there.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut left) = (0, 1u64);
    while left > 0 {
        let line = line_len(&bytes[at..])?;
        let kind = bytes[at];
        let number = || std::str::from_utf8(&bytes[at + 1..at + line - 2]).ok()?.parse::<i64>().ok();
        left -= 1;
        let mut end = at + line;
        match kind {
            b'$' | b'=' | b'!' => {
                if let Ok(length) = usize::try_from(number().unwrap_or(-1)) {
                    end += length + 2;
                }
            }
            b'*' | b'~' | b'>' => left += u64::try_from(number().unwrap_or(0)).unwrap_or(0),
            b'%' => left += 2 * u64::try_from(number().unwrap_or(0)).unwrap_or(0),
            // What it is an attribute of follows.
            b'|' => left += 2 * u64::try_from(number().unwrap_or(0)).unwrap_or(0) + 1,
            _ => {}
        }
        if end > bytes.len() {
            return None;
        }
        at = end;
    }
    Some(at)
}

fn line_len(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1).filter(|&len| len >= 2)
}

/// Takes the whole frames from the front of `bytes`.
pub(crate) fn take_frames(bytes: &mut Vec<u8>, into: &mut Vec<Vec<u8>>) {
    let mut at = 0;
    while let Some(len) = frame_len(&bytes[at..]) {
        into.push(bytes[at..at + len].to_vec());
        at += len;
    }
    bytes.drain(..at);
}

/// A frame as a tree: what it begins with, and its parts.
struct Tree {
    head: Vec<u8>,
    parts: Vec<Self>,
}

fn tree(bytes: &[u8], at: &mut usize) -> Tree {
    let line = line_len(&bytes[*at..]).unwrap_or(bytes.len() - *at);
    let kind = bytes[*at];
    let start = *at;
    let number = std::str::from_utf8(&bytes[start + 1..start + line - 2])
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    *at += line;
    let count = match kind {
        b'$' | b'=' | b'!' => {
            *at += usize::try_from(number.unwrap_or(-1)).map_or(0, |length| length + 2);
            0
        }
        b'*' | b'~' | b'>' => number.unwrap_or(0).max(0),
        b'%' => 2 * number.unwrap_or(0).max(0),
        b'|' => 2 * number.unwrap_or(0).max(0) + 1,
        _ => 0,
    };
    let head = bytes[start..*at].to_vec();
    Tree { head, parts: (0..count).map(|_| tree(bytes, at)).collect() }
}

fn write(tree: &Tree, change: &impl Fn(&[u8]) -> Vec<u8>, sorted: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&change(&tree.head));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for part in &tree.parts {
        let mut bytes = Vec::new();
        write(part, change, sorted, &mut bytes);
        parts.push(bytes);
    }
    if sorted {
        parts.sort();
    }
    out.extend(parts.concat());
}

/// The frame with the parts of each aggregate in order.
pub(crate) fn unordered(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&tree(frame, &mut 0), &<[u8]>::to_vec, true, &mut out);
    out
}

/// The frame without its values: types, counts, nulls and errors stay.
pub(crate) fn kinds(frame: &[u8]) -> Vec<u8> {
    let change = |head: &[u8]| match head[0] {
        b'$' | b'=' if head[1] != b'-' => head[..1].to_vec(),
        b':' | b'+' | b',' | b'(' => head[..1].to_vec(),
        _ => head.to_vec(),
    };
    let mut out = Vec::new();
    write(&tree(frame, &mut 0), &change, false, &mut out);
    out
}

/// Puts into order what Redis says in the order of a hash table, seeded at start: the names in
/// consecutive confirmations of an end (their counts stay), and consecutive messages that differ
/// in their pattern only. Where such runs are.
pub(crate) fn order_runs(frames: &mut [Vec<u8>]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < frames.len() {
        let kind = run_kind(&frames[at]);
        let mut end = at + 1;
        while end < frames.len() && kind.is_some() && run_kind(&frames[end]) == kind {
            end += 1;
        }
        if end - at > 1 {
            order(&mut frames[at..end]);
            runs.push(at..end);
        }
        at = end;
    }
    runs
}

/// What has to be the same in all of a run.
fn run_kind(frame: &[u8]) -> Option<Vec<u8>> {
    if !matches!(frame[0], b'>' | b'*') {
        return None;
    }
    let parts = tree(frame, &mut 0).parts;
    let heads: Vec<&[u8]> = parts.iter().map(|part| part.head.as_slice()).collect();
    match heads[..] {
        [
            kind @ (b"$11\r\nunsubscribe\r\n" | b"$12\r\npunsubscribe\r\n" | b"$12\r\nsunsubscribe\r\n"),
            _,
            _,
        ] => Some(kind.to_vec()),
        [kind @ b"$8\r\npmessage\r\n", _, channel, message] => Some([kind, channel, message].concat()),
        _ => None,
    }
}

fn order(frames: &mut [Vec<u8>]) {
    let mut trees: Vec<Tree> = frames.iter().map(|frame| tree(frame, &mut 0)).collect();
    let mut names: Vec<Vec<u8>> = trees.iter().map(|tree| tree.parts[1].head.clone()).collect();
    names.sort();
    for ((frame, tree), name) in frames.iter_mut().zip(&mut trees).zip(names) {
        tree.parts[1].head = name;
        frame.clear();
        write(tree, &<[u8]>::to_vec, false, frame);
    }
}

/// Whether it is a reply of MONITOR: a line with a time.
pub(crate) fn is_monitor_line(frame: &[u8]) -> bool {
    frame.first() == Some(&b'+') && frame.get(1..11).is_some_and(|time| time.iter().all(u8::is_ascii_digit))
}

/// Whether it says that a key is no longer what it was.
pub(crate) fn is_invalidation(frame: &[u8]) -> bool {
    frame.starts_with(b">2\r\n$10\r\ninvalidate\r\n")
}

/// The keys of invalidations, in the order of their names; null for all keys.
pub(crate) fn invalidated(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for frame in frames {
        let mut parts = tree(frame, &mut 0).parts;
        let told = parts.swap_remove(1);
        if told.parts.is_empty() {
            keys.push(told.head);
        }
        keys.extend(told.parts.into_iter().map(|key| key.head));
    }
    keys.sort();
    keys
}

/// As text, for a person.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let most = bytes.len().min(400);
    let text: String = bytes[..most].escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"");
    if most < bytes.len() { format!("{text} .. {} bytes", bytes.len()) } else { text }
}

#[test]
fn frames_end_where_they_end() {
    for frame in [
        &b"+OK\r\n"[..],
        b"$3\r\na\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"%1\r\n+a\r\n*2\r\n:1\r\n$0\r\n\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n#t\r\n",
    ] {
        assert_eq!(frame_len(&[frame, b"+more\r\n"].concat()), Some(frame.len()), "{}", shown(frame));
        assert!((0..frame.len()).all(|cut| frame_len(&frame[..cut]).is_none()), "{}", shown(frame));
    }
}

#[test]
fn the_keys_of_invalidations_are_the_same_however_they_are_grouped() {
    let both = b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\ns\r\n$1\r\nn\r\n".to_vec();
    let one = |key: &str| format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n{key}\r\n").into_bytes();
    assert_eq!(invalidated(&[both]), invalidated(&[one("n"), one("s")]));
    assert_eq!(invalidated(&[b">2\r\n$10\r\ninvalidate\r\n_\r\n".to_vec()]), [b"_\r\n"]);
}

#[test]
fn what_is_made_alike_keeps_its_types_and_its_errors() {
    assert_eq!(unordered(b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(kinds(b"*4\r\n$1\r\nb\r\n:77\r\n$-1\r\n-E x\r\n"), b"*4\r\n$:$-1\r\n-E x\r\n");
    assert_ne!(kinds(b"*1\r\n:1\r\n"), kinds(b"*2\r\n:1\r\n:1\r\n"));
}
