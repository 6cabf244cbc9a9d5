//! Commands inside a transaction that the gateway answers.
//!
//! Redis queues a placeholder for each, `ECHO <token>`; in EXEC's reply the answer takes the
//! placeholder's place. A token is 128 random bits that nobody has seen before, so nothing else
//! in the reply is taken for it.

use std::collections::VecDeque;

use crate::command::Answer;

/// What the arguments of one transaction's queued commands may weigh.
const BYTES_MAX: usize = 64 * 1024;

/// What a queued command weighs besides its arguments.
const WEIGHT: usize = 128;

/// A command that waits for EXEC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    /// What it is.
    pub(crate) answer: Answer,
    /// Its arguments, the name included.
    pub(crate) args: Vec<Vec<u8>>,
    /// What stands for it at Redis, as it comes back.
    placeholder: Vec<u8>,
}

/// The commands of one transaction that the gateway answers, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    commands: VecDeque<Queued>,
    bytes: usize,
    /// The end of what has come of EXEC's reply, which may be the beginning of a placeholder.
    held: Vec<u8>,
}

impl Queue {
    /// Whether there is room for a command with such arguments.
    #[must_use]
    pub fn has_room(&self, args: &[&[u8]]) -> bool {
        self.bytes + weight(args) <= BYTES_MAX
    }

    /// Memory of the commands.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a command whose placeholder comes back like this.
    pub fn push(&mut self, answer: Answer, args: &[&[u8]], placeholder: Vec<u8>) {
        self.bytes += weight(args);
        let args = args.iter().map(|arg| arg.to_vec()).collect();
        self.commands.push_back(Queued { answer, args, placeholder });
    }

    /// Whether EXEC's reply can go to the client as it comes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.held.is_empty()
    }

    /// Takes the next bytes of EXEC's reply, and gives those that may go on, the answers in the
    /// place of the placeholders. Each answer is asked for when its turn has come.
    pub(crate) fn replace(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        mut answer: impl FnMut(&Queued) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        self.held.extend_from_slice(bytes);
        while let Some(next) = self.commands.front()
            && let Some(at) = memchr::memmem::find(&self.held, &next.placeholder)
        {
            out.extend_from_slice(&self.held[..at]);
            out.extend_from_slice(&answer(next));
            self.held.drain(..at + next.placeholder.len());
            self.commands.pop_front();
        }
        let kept = match self.commands.front() {
            Some(next) if !is_end => self.held.len().min(next.placeholder.len() - 1),
            _ => 0,
        };
        out.extend(self.held.drain(..self.held.len() - kept));
        out
    }
}

fn weight(args: &[&[u8]]) -> usize {
    args.iter().map(|arg| arg.len()).sum::<usize>() + WEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_take_the_place_of_their_placeholders_however_the_reply_is_cut() {
        let mut queue = Queue::default();
        queue.push(Answer::ClientId, &[b"CLIENT", b"ID"], b"$4\r\none!\r\n".to_vec());
        queue.push(Answer::ClientInfo, &[b"CLIENT", b"INFO"], b"$4\r\ntwo!\r\n".to_vec());
        let reply = b"*4\r\n$4\r\none!\r\n$4\r\none?\r\n$4\r\ntwo!\r\n$4\r\none!\r\n";
        for size in 1..reply.len() + 1 {
            let (mut queue, mut out) = (queue.clone(), Vec::new());
            let mut pieces = reply.chunks(size).peekable();
            while let Some(piece) = pieces.next() {
                let is_end = pieces.peek().is_none();
                out.extend(queue.replace(piece, is_end, |queued| match queued.answer {
                    Answer::ClientId => b":7\r\n".to_vec(),
                    _ => b"+info\r\n".to_vec(),
                }));
            }
            assert_eq!(out, b"*4\r\n:7\r\n$4\r\none?\r\n+info\r\n$4\r\none!\r\n", "in pieces of {size}");
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn a_reply_without_placeholders_comes_out_as_it_is() {
        for reply in [&b"*-1\r\n"[..], b"-EXECABORT no\r\n", b"_\r\n"] {
            let mut queue = Queue::default();
            queue.push(Answer::ClientId, &[b"CLIENT", b"ID"], b"$4\r\none!\r\n".to_vec());
            assert_eq!(queue.replace(reply, true, |_| unreachable!("nothing was run")), reply);
        }
    }

    #[test]
    fn a_queue_is_bounded() {
        let mut queue = Queue::default();
        let mut count = 0;
        while queue.has_room(&[b"CLIENT", b"ID"]) {
            queue.push(Answer::ClientId, &[b"CLIENT", b"ID"], Vec::new());
            count += 1;
        }
        assert!((100..1000).contains(&count), "{count}");
        assert!(!queue.has_room(&[b"CLIENT", b"SETNAME", &[b'x'; 70_000]]));
    }
}
