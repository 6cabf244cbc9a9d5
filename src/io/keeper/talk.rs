//! A connection to a node as the user who may make others: one command at a time, each reply
//! awaited, for so long and no longer.

use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::identity::Credential;
use crate::io::node::{Node, Socket};
use crate::limits::Limits;
use crate::resp::{ReplyScanner, write};
use crate::upstream::Shown;

/// ACL LIST of some ten thousand users. A longer reply is none.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// Why nothing can be said to a node.
#[derive(Debug, Error)]
pub(crate) enum TalkError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer in time")]
    Late,
    #[error("it closed the connection")]
    Closed,
    #[error("it answered {0} with: {1}")]
    Refused(&'static str, String),
    #[error("it answered {0} with something else")]
    Unexpected(&'static str),
}

/// An open connection.
pub(in crate::io) struct Talk {
    socket: Socket,
    patience: Duration,
}

impl Talk {
    /// Connects and logs in.
    pub(in crate::io) async fn open(
        node: &Node,
        admin: &Credential,
        limits: &Limits,
    ) -> Result<Self, TalkError> {
        let patience = Duration::from_millis(limits.connect_timeout_ms);
        let times = (limits.keepalive_ms, limits.tcp_user_timeout_ms);
        let opened = tokio::time::timeout(patience, node.open(times)).await;
        let mut talk = Self { socket: opened.map_err(|_| TalkError::Late)??, patience };
        let password = admin.password.given().map_or(&b""[..], |password| password.expose());
        let auth = zeroize::Zeroizing::new(write::command(&[b"AUTH", admin.redis_user.as_bytes(), password]));
        talk.order("AUTH", &auth).await?;
        Ok(talk)
    }

    /// The users that there are.
    pub(super) async fn list(&mut self) -> Result<Vec<Shown>, TalkError> {
        let reply = self.ask(&write::command(&[b"ACL", b"LIST"])).await?;
        match error_text(&reply) {
            Some(text) => Err(TalkError::Refused("ACL LIST", text)),
            None => Shown::list(&reply).ok_or(TalkError::Unexpected("ACL LIST")),
        }
    }

    /// What it says of replication, if it is a master of its replicas.
    pub(in crate::io) async fn replication(&mut self) -> Result<String, TalkError> {
        let reply = self.ask(&write::command(&[b"INFO", b"replication"])).await?;
        if let Some(text) = error_text(&reply) {
            return Err(TalkError::Refused("INFO", text));
        }
        // A bulk string: its length is a line.
        let end = reply.iter().position(|byte| *byte == b'\n').filter(|_| reply.starts_with(b"$"));
        let end = end.ok_or(TalkError::Unexpected("INFO"))?;
        Ok(String::from_utf8_lossy(&reply[end..]).into_owned())
    }

    /// Something whose only good answer is OK, or a number.
    pub(super) async fn order(&mut self, name: &'static str, command: &[u8]) -> Result<(), TalkError> {
        let reply = self.ask(command).await?;
        match error_text(&reply) {
            Some(text) => Err(TalkError::Refused(name, text)),
            None if reply == b"+OK\r\n" || reply.starts_with(b":") => Ok(()),
            None => Err(TalkError::Unexpected(name)),
        }
    }

    async fn ask(&mut self, command: &[u8]) -> Result<Vec<u8>, TalkError> {
        let asked = tokio::time::timeout(self.patience, async {
            self.socket.write_all(command).await?;
            self.socket.flush().await?;
            let (mut reply, mut scan) = (Vec::new(), ReplyScanner::new(2));
            loop {
                if self.socket.read_buf(&mut reply).await? == 0 {
                    return Err(TalkError::Closed);
                }
                match scan.scan(&reply) {
                    Ok(Some(len)) if len == reply.len() => return Ok(reply),
                    Ok(None) if reply.len() <= REPLY_BYTES_MAX => {}
                    _ => return Err(TalkError::Unexpected("a command")),
                }
            }
        });
        asked.await.unwrap_or(Err(TalkError::Late))
    }
}

/// The text of an error line, not too long for a log.
fn error_text(reply: &[u8]) -> Option<String> {
    let text = reply.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
    Some(String::from_utf8_lossy(&text[..text.len().min(512)]).into_owned())
}
