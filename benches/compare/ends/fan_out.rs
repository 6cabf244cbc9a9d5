//! Subscribers of one channel, and a publisher who sends the next burst when all have the last.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use respgate::resp::write;
use tokio::sync::Notify;

use super::client::{Client, Clients, Whither};
use super::latency::Latency;
use super::load::now;
use super::orders::{self, Order};

/// Messages that are published at once.
const BURST: usize = 20;

/// No burst takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    whither: Whither,
    /// The port of Redis itself, where messages are published
    #[arg(long)]
    publish_port: u16,
    /// Connected subscribers
    #[arg(long)]
    clients: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// The channel: others may be listening to others
    #[arg(long)]
    channel: String,
}

/// Bytes that subscribers still wait for.
#[derive(Default)]
struct Awaited {
    bytes: Cell<usize>,
    arrived: Notify,
    failure: RefCell<Option<io::Error>>,
}

/// Subscribes, and publishes for as long as it is ordered to.
pub(crate) async fn run(args: &Args) -> io::Result<()> {
    let clients = Clients::new(&args.whither)?;
    let (message, frame) = message(args.channel.as_bytes(), args.bytes);
    let burst = message.repeat(BURST);
    let awaited = Rc::new(Awaited::default());
    for _ in 0..args.clients {
        let mut client = clients.connect().await?;
        client.ask(&[b"SUBSCRIBE", args.channel.as_bytes()]).await?;
        tokio::task::spawn_local(listen(client, Rc::clone(&awaited)));
    }
    let mut publisher = Clients::new(&Whither::plain(args.publish_port))?.connect().await?;
    let deliveries = BURST * args.clients;
    publish(&mut publisher, &burst, deliveries * frame, &awaited).await?;
    let mut line = "ready".to_owned();
    while let Some(order) = orders::next(&line)? {
        let Order::Go(_, seconds) = order else { return Err(io::Error::other("no order for subscribers")) };
        let (begun, mut latency) = (now(), Latency::new());
        while begun.elapsed().as_secs_f64() < seconds {
            let sent = now();
            publish(&mut publisher, &burst, deliveries * frame, &awaited).await?;
            latency.add(sent.elapsed(), 1);
        }
        let requests = latency.total() * deliveries as u64;
        line = orders::report(requests, begun.elapsed().as_secs_f64(), &latency);
    }
    Ok(())
}

async fn listen(mut client: Client, awaited: Rc<Awaited>) {
    let took = |read| {
        let left = awaited.bytes.get().saturating_sub(read);
        awaited.bytes.set(left);
        if left == 0 {
            awaited.arrived.notify_one();
        }
    };
    if let Err(error) = client.skip(usize::MAX, took).await {
        *awaited.failure.borrow_mut() = Some(error);
        awaited.arrived.notify_one();
    }
}

async fn publish(publisher: &mut Client, burst: &[u8], bytes: usize, awaited: &Awaited) -> io::Result<()> {
    awaited.bytes.set(bytes);
    publisher.pipeline(burst, BURST).await?;
    let all = async {
        while awaited.bytes.get() > 0 && awaited.failure.borrow().is_none() {
            awaited.arrived.notified().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, all).await.is_ok();
    match awaited.failure.take() {
        Some(error) => Err(error),
        None if in_time => Ok(()),
        None => Err(io::Error::other(format!("{} bytes did not arrive", awaited.bytes.get()))),
    }
}

/// PUBLISH, and how many bytes of it a RESP2 subscriber gets.
fn message(channel: &[u8], bytes: usize) -> (Vec<u8>, usize) {
    let payload = vec![b'x'; bytes];
    let frame = write::command(&[b"message", channel, &payload]);
    (write::command(&[b"PUBLISH", channel, &payload]), frame.len())
}
