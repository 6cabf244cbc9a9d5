//! One task a link: connects, then moves bytes between the socket and the machine.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::courtesy::Courtesy;
use super::hub::Hub;
use super::node::{NoTls, Socket};
use super::{clock, listen};
use crate::upstream::LinkId;
use crate::worker::Loss;

/// Serves one link from its connection to its end.
pub(super) async fn serve(hub: Rc<Hub>, id: LinkId) {
    // A link that is given up while it connects is noticed, and its socket closed.
    let connected = tokio::select! {
        connected = connect(&hub, id) => connected,
        () = gone(&hub, id) => Err(Loss::Closed),
    };
    match connected {
        Ok(mut socket) => {
            hub.with(|machine, now| machine.link_connected(id, now));
            let mut courtesy = Courtesy::default();
            let end = poll_fn(|cx| {
                let unwritten = hub.peek(|machine| machine.link_output(id).map_or(0, |out| out.len()));
                if courtesy.gives_way(unwritten, cx) {
                    return Poll::Pending;
                }
                transfer(&hub, id, &mut socket, cx)
            });
            if let Err(loss) = end.await {
                hub.with(|machine, now| machine.link_lost(id, loss, now));
            }
        }
        Err(loss) => hub.with(|machine, now| machine.link_lost(id, loss, now)),
    }
    hub.link_ended(id);
}

async fn gone(hub: &Rc<Hub>, id: LinkId) {
    poll_fn(|cx| {
        hub.link_waits(id, cx);
        match hub.peek(|machine| machine.link_wants_read(id)) {
            None => Poll::Ready(()),
            Some(_) => Poll::Pending,
        }
    })
    .await;
}

async fn connect(hub: &Rc<Hub>, id: LinkId) -> Result<Socket, Loss> {
    let times = hub.peek(|machine| machine.tcp_timeouts());
    let node = hub.node(id).ok_or(Loss::NodeLeft)?;
    if node.address().is_none() {
        return Err(Loss::NoMaster);
    }
    node.open(times).await.map_err(|error| {
        if listen::is_out_of_resources(&error) {
            Loss::NoResources(error.to_string())
        } else if error.get_ref().is_some_and(|inner| inner.is::<NoTls>()) {
            Loss::Tls(format!("{node}: {error}"))
        } else {
            Loss::Connect(format!("{node}: {error}"))
        }
    })
}

/// Moves bytes both ways until neither can be moved. Ready when the link has ended:
/// by the machine's will (`Ok`) or by the socket's.
fn transfer(hub: &Rc<Hub>, id: LinkId, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
    hub.link_waits(id, cx);
    let now = clock::now();
    hub.at(|machine| machine.link_resumed(id, now));
    loop {
        let wrote = write(hub, id, socket, now, cx)?;
        if hub.peek(|machine| machine.link_rests(id)) {
            // Behind the clients that have just been woken.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = match hub.peek(|machine| machine.link_wants_read(id)) {
            None => return Poll::Ready(Ok(())),
            Some(false) => Poll::Pending,
            Some(true) => read(hub, id, socket, cx)?,
        };
        if wrote.is_pending() && read.is_pending() {
            return Poll::Pending;
        }
    }
}

/// Writes what there is. Pending when there is nothing, or the socket is full.
fn write(
    hub: &Rc<Hub>,
    id: LinkId,
    socket: &mut Socket,
    now: Instant,
    cx: &mut Context<'_>,
) -> Result<Poll<()>, Loss> {
    let mut any = false;
    loop {
        let written = hub.peek(|machine| {
            let Some(out) = machine.link_output(id) else { return Poll::Pending };
            if out.is_empty() {
                return Poll::Pending;
            }
            Pin::new(&mut *socket).poll_write(cx, out.front())
        });
        match written {
            Poll::Pending => {
                // TLS holds back what the socket would not take.
                if let Poll::Ready(Err(error)) = Pin::new(&mut *socket).poll_flush(cx) {
                    return Err(Loss::Io(error.to_string()));
                }
                return Ok(if any { Poll::Ready(()) } else { Poll::Pending });
            }
            Poll::Ready(Ok(0)) => return Err(Loss::Closed),
            Poll::Ready(Ok(count)) => {
                any = true;
                hub.at(|machine| machine.link_wrote(id, count, now));
            }
            Poll::Ready(Err(error)) => return Err(Loss::Io(error.to_string())),
        }
    }
}

fn read(hub: &Rc<Hub>, id: LinkId, socket: &mut Socket, cx: &mut Context<'_>) -> Result<Poll<()>, Loss> {
    let filled = hub.peek(|machine| match machine.link_buffer(id) {
        Some(buffer) => read_into(socket, buffer, cx),
        None => Poll::Pending,
    });
    match filled {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(Ok(0)) => Err(Loss::Closed),
        Poll::Ready(Ok(_)) => {
            // The present, and not the turn's: it counts how long the backend took since the write.
            hub.with(|machine, now| machine.link_filled(id, now));
            Ok(Poll::Ready(()))
        }
        Poll::Ready(Err(error)) => Err(Loss::Io(error.to_string())),
    }
}

/// Reads once to the end of a buffer.
fn read_into(
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Nothing is kept in this future between two polls.
    let read = pin!(socket.read_buf(buffer));
    let count = ready!(Future::poll(read, cx))?;
    Poll::Ready(Ok(count))
}

/// How long TCP waits, as the limits have it.
pub(super) fn milliseconds(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}
