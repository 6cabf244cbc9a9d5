//! Clients that are connected before the clock starts. So many wait for a reply at any time; each
//! place in flight goes round its own clients, so that with many clients nearly all are idle.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{Client, Clients, Whither};
use super::latency::Latency;
use super::mix::{Draws, Mix, What};
use super::orders::{self, Order};

/// How many connect at a time.
const CONNECTING: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    whither: Whither,
    /// Connected clients
    #[arg(long)]
    clients: usize,
    /// Clients that wait for replies at any time
    #[arg(long, default_value_t = 50)]
    in_flight: usize,
    /// Requests that a client sends at once
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Fill Redis first with what the mixture asks for
    #[arg(long)]
    preload: bool,
}

/// The clients of one place in flight, and what they draw their requests from.
struct Place {
    clients: Vec<Client>,
    draws: Draws,
}

/// What all places share.
struct Run {
    mix: Mix,
    depth: usize,
    latency: RefCell<Latency>,
}

/// Connects, each client with one request, and carries out orders.
pub(crate) async fn run(args: &Args) -> io::Result<()> {
    let clients = Clients::new(&args.whither)?;
    let mix = Mix::new();
    if args.preload {
        let (requests, count) = mix.preload();
        clients.connect().await?.pipeline(&requests, count).await?;
    }
    let mut places = connect(args, clients).await?;
    let run = Rc::new(Run { mix, depth: args.depth.max(1), latency: Latency::new().into() });
    let mut line = "ready".to_owned();
    while let Some(order) = orders::next(&line)? {
        *run.latency.borrow_mut() = Latency::new();
        let begun = now();
        places = carry_out(order, places, &run).await?;
        let latency = run.latency.borrow();
        line = orders::report(latency.total(), begun.elapsed().as_secs_f64(), &latency);
    }
    Ok(())
}

/// All clients, dealt to the places in flight.
async fn connect(args: &Args, clients: Clients) -> io::Result<Vec<Place>> {
    let clients = Rc::new(clients);
    let count = args.in_flight.clamp(1, args.clients.max(1));
    let place = |number| Place { clients: Vec::new(), draws: Draws::new(number) };
    let mut places: Vec<Place> = (0..count as u64).map(place).collect();
    let mut connecting = JoinSet::new();
    for number in 0..args.clients + CONNECTING {
        if number >= CONNECTING
            && let Some(client) = connecting.join_next().await
        {
            places[number % count].clients.push(client.map_err(io::Error::other)??);
        }
        if number < args.clients {
            let clients = Rc::clone(&clients);
            connecting.spawn_local(async move {
                let mut client = clients.connect().await?;
                client.ask(&[b"GET", b"bench:small"]).await?;
                io::Result::Ok(client)
            });
        }
    }
    Ok(places)
}

async fn carry_out(order: Order, places: Vec<Place>, run: &Rc<Run>) -> io::Result<Vec<Place>> {
    let mut running = JoinSet::new();
    for place in places {
        let (run, order) = (Rc::clone(run), order.clone());
        running.spawn_local(async move {
            match order {
                Order::Go(what, seconds) => go_round(place, &what, seconds, &run).await,
                Order::Each(what, times) => have_each(place, &what, times, &run).await,
            }
        });
    }
    let mut back = Vec::new();
    while let Some(place) = running.join_next().await {
        back.push(place.map_err(io::Error::other)??);
    }
    Ok(back)
}

async fn go_round(mut place: Place, what: &What, seconds: f64, run: &Run) -> io::Result<Place> {
    let end = now() + Duration::from_secs_f64(seconds);
    let count = place.clients.len();
    while now() < end {
        // As far apart as they are many: a processor's caches see no pattern.
        let next = place.draws.below(count);
        run.ask(&mut place.clients[next], what, &mut place.draws).await?;
    }
    Ok(place)
}

async fn have_each(mut place: Place, what: &What, times: usize, run: &Run) -> io::Result<Place> {
    for client in &mut place.clients {
        for _ in 0..times {
            run.ask(client, what, &mut place.draws).await?;
        }
    }
    Ok(place)
}

impl Run {
    async fn ask(&self, client: &mut Client, what: &What, draws: &mut Draws) -> io::Result<()> {
        let mut requests = Vec::new();
        (0..self.depth).for_each(|_| self.mix.draw(what, draws, &mut requests));
        let begun = now();
        client.pipeline(&requests, self.depth).await?;
        let requests = u32::try_from(self.depth).unwrap_or(u32::MAX);
        self.latency.borrow_mut().add(begun.elapsed(), requests);
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "a load measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
