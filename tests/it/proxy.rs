//! What goes wrong on the way between the gateway and Redis: a proxy that holds back, slices,
//! resets, or has `rogue` change what passes. Knows bytes and connections, no commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};

use crate::dice::Dice;
use crate::rogue::{Rogue, Track};

/// What the proxy does to what passes.
#[derive(Clone, Copy)]
pub(crate) enum Mood {
    Honest,
    /// Holds a piece of replies back now and then, for up to this long, and passes some on byte by byte.
    Slow(Duration),
    /// Resets a connection when, at most, so many bytes of replies have passed.
    Cut(u64),
    /// Changes whole replies.
    Rogue(Rogue),
    /// Passes nothing on, in either direction, and says nothing of it.
    Hole,
}

/// A running proxy; it ends with this value.
pub(crate) struct Proxy {
    /// Where the gateway finds it.
    pub(crate) address: SocketAddr,
    /// What it has done.
    pub(crate) deeds: Arc<Deeds>,
    shared: Arc<Shared>,
    _end: oneshot::Sender<()>,
}

/// Counters of what a proxy has done.
#[derive(Default)]
pub(crate) struct Deeds {
    /// Connections reset.
    pub(crate) resets: AtomicU64,
    /// Pieces held back.
    pub(crate) delays: AtomicU64,
    /// Pieces passed on byte by byte.
    pub(crate) slices: AtomicU64,
    /// Replies that only this proxy's doing explains, and what of them clients have got.
    pub(crate) tainted: Mutex<crate::rogue::Taint>,
}

struct Shared {
    upstream: watch::Sender<Option<PathBuf>>,
    /// Connections are reset when it changes.
    cuts: watch::Sender<u64>,
    mood: watch::Sender<Mood>,
    dice: Mutex<Dice>,
    deeds: Arc<Deeds>,
}

impl Shared {
    /// The mood, as soon as it is one in which something is passed on.
    async fn mood_to_pass(&self) -> Mood {
        let mut moods = self.mood.subscribe();
        let mood = moods.wait_for(|mood| !matches!(mood, Mood::Hole)).await;
        // An error would mean that this proxy is gone.
        mood.map_or(Mood::Honest, |mood| *mood)
    }
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

impl Proxy {
    /// Starts one; connections wait until it knows where to.
    pub(crate) fn start(seed: u64) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let deeds = Arc::new(Deeds::default());
        let shared = Arc::new(Shared {
            upstream: watch::Sender::new(None),
            cuts: watch::Sender::new(0),
            mood: watch::Sender::new(Mood::Honest),
            dice: Mutex::new(Dice::new(seed)),
            deeds: Arc::clone(&deeds),
        });
        let (end, ended) = oneshot::channel::<()>();
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a socket");
                tokio::select! {
                    () = serve(listener, ours) => {}
                    _ = ended => {}
                }
            });
        });
        Self { address, deeds, shared, _end: end }
    }

    /// Where Redis is.
    pub(crate) fn lead_to(&self, socket: &Path) {
        self.shared.upstream.send_replace(Some(socket.to_owned()));
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// Resets every connection that there is.
    pub(crate) fn cut_all(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(carry(socket, Arc::clone(&shared)));
        }
    }
}

/// One connection of the gateway, to its end.
async fn carry(mut gateway: TcpStream, shared: Arc<Shared>) {
    let _ = gateway.set_nodelay(true);
    let mut upstream = shared.upstream.subscribe();
    let mut cuts = shared.cuts.subscribe();
    let path = match upstream.wait_for(Option::is_some).await {
        Ok(path) => path.clone().expect("waited for"),
        Err(_) => return,
    };
    let mut end = End::Reset;
    if let Ok(mut redis) = UnixStream::connect(path).await {
        let track = Mutex::new(Track::default());
        let (from_gateway, to_gateway) = gateway.split();
        let (from_redis, to_redis) = redis.split();
        end = tokio::select! {
            end = pass_requests(from_gateway, to_redis, &track, &shared) => end,
            end = pass_replies(from_redis, to_gateway, &track, &shared) => end,
            _ = cuts.changed() => End::Reset,
        };
    }
    if end == End::Reset {
        shared.deeds.resets.fetch_add(1, Relaxed);
        let _ = socket2::SockRef::from(&gateway).set_linger(Some(Duration::ZERO));
    }
}

async fn pass_requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    track: &Mutex<Track>,
    shared: &Shared,
) -> End {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let Ok(count) = from.read(&mut piece).await else { return End::Closed };
        if count == 0 {
            return End::Closed;
        }
        shared.mood_to_pass().await;
        // Noted before Redis can answer it.
        track.lock().expect("not poisoned").asked(&piece[..count]);
        if to.write_all(&piece[..count]).await.is_err() {
            return End::Closed;
        }
    }
}

async fn pass_replies(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    track: &Mutex<Track>,
    shared: &Shared,
) -> End {
    let mut piece = vec![0; 64 * 1024];
    // Set when the connection is to be cut.
    let mut left = None;
    loop {
        let Ok(count) = from.read(&mut piece).await else { return End::Closed };
        if count == 0 {
            return End::Closed;
        }
        let mood = shared.mood_to_pass().await;
        let rogue = if let Mood::Rogue(rogue) = mood { Some(rogue) } else { None };
        let bytes = {
            let mut dice = shared.dice.lock().expect("not poisoned");
            track.lock().expect("not poisoned").replied(
                &piece[..count],
                rogue,
                &mut dice,
                &shared.deeds.tainted,
            )
        };
        let sent = match mood {
            Mood::Honest | Mood::Rogue(_) | Mood::Hole => to.write_all(&bytes).await,
            Mood::Slow(most) => drip(&mut to, &bytes, most, shared).await,
            Mood::Cut(most) => {
                let budget =
                    left.get_or_insert_with(|| shared.dice.lock().expect("not poisoned").magnitude(most));
                let part = bytes.len().min(usize::try_from(*budget).unwrap_or(usize::MAX));
                let _ = to.write_all(&bytes[..part]).await;
                *budget -= part as u64;
                if *budget == 0 {
                    return End::Reset;
                }
                Ok(())
            }
        };
        if sent.is_err() {
            return End::Closed;
        }
    }
}

/// Most pieces at once; some late, some byte by byte.
async fn drip(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    most: Duration,
    shared: &Shared,
) -> std::io::Result<()> {
    let (chance, wait) = {
        let mut dice = shared.dice.lock().expect("not poisoned");
        (dice.below(100), Duration::from_millis(dice.magnitude(most.as_millis() as u64)))
    };
    if chance < 10 {
        shared.deeds.delays.fetch_add(1, Relaxed);
        tokio::time::sleep(wait).await;
    }
    if chance % 4 != 0 {
        return to.write_all(bytes).await;
    }
    shared.deeds.slices.fetch_add(1, Relaxed);
    // Where a slice ends matters most at the beginning of a reply.
    let (slow, fast) = bytes.split_at(bytes.len().min(4096));
    for byte in slow {
        to.write_all(std::slice::from_ref(byte)).await?;
        tokio::task::yield_now().await;
    }
    to.write_all(fast).await
}
