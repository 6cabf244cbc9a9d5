//! A polite end: what was written last is to be read by the client. Closing a
//! socket with unread input makes TCP reset it, and the reset eats the last line.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::control::Shared;
use super::stream::ClientStream;

/// Sends close_notify, shuts down our side, and discards input until the client
/// closes too, or the limits are reached.
pub(super) async fn close(mut stream: Box<ClientStream>, shared: &Shared) {
    let (time, most) = {
        let limits = &shared.live.load().settings.limits;
        (Duration::from_millis(limits.linger_timeout_ms), limits.linger_bytes_max)
    };
    let polite = async {
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut buffer = [0; 4096];
        while discarded < most {
            match stream.socket().read(&mut buffer).await? {
                0 => break,
                count => discarded += count,
            }
        }
        std::io::Result::Ok(())
    };
    // A client that is gone, or does not close in time, has had its chance.
    let _ = tokio::time::timeout(time, polite).await;
}
