//! Where the sentinels say that the master is, asked once: for whoever looks and does not run. Enough of
//! them have to agree, as ever.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::clock;
use super::super::node::Node;
use super::super::settings::Address;
use super::{Sentinels, login};
use crate::limits::Limits;
use crate::upstream::sentinel::{Answer, Council, Heard, Standing, Talk};

/// Where the master is.
///
/// # Errors
/// If too few of them say so, with what each of the others says instead.
pub(in crate::io) async fn find(sentinels: &Sentinels, limits: &Limits) -> Result<Address, String> {
    let now = clock::now();
    let mut council = Council::new(sentinels.addresses.len(), sentinels.quorum, None, now);
    let patience = Duration::from_millis(limits.sentinel_timeout_ms);
    let mut whys = Vec::new();
    for (number, address) in sentinels.addresses.iter().enumerate() {
        let asked = timeout(patience, ask(sentinels, address, limits)).await;
        match asked.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned())) {
            Ok((id, answer)) => council.answered(number, id.as_deref(), answer, now),
            Err(why) => whys.push(format!("{address}: {why}")),
        }
    }
    if let Some(place) = council.master() {
        return Ok(Address::Tcp { host: place.host.clone(), port: place.port });
    }
    whys.insert(
        0,
        match council.standing() {
            Standing::Agreed | Standing::Divided => {
                "the sentinels do not agree where the master is".to_owned()
            }
            Standing::Few => format!("{} of {} sentinels answer", council.answering(), council.members()),
            Standing::NoSuchMaster => "the sentinels know no master of that name".to_owned(),
        },
    );
    Err(whys.join("; "))
}

/// What one of them says, and its own id, if it tells.
async fn ask(
    sentinels: &Sentinels,
    address: &Address,
    limits: &Limits,
) -> Result<(Option<String>, Answer), String> {
    let node = Node::at(address.clone(), sentinels.tls.as_ref()).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| error.to_string();
    let mut socket = node.open((limits.keepalive_ms, limits.tcp_user_timeout_ms)).await.map_err(failed)?;
    let (mut talk, mut words) = Talk::begin(&login(sentinels));
    let mut input = BytesMut::new();
    loop {
        socket.write_all(&words).await.map_err(failed)?;
        socket.flush().await.map_err(failed)?;
        words.clear();
        if socket.read_buf(&mut input).await.map_err(failed)? == 0 {
            return Err("it closed the connection".to_owned());
        }
        while let Some(heard) = talk.next(&mut input).map_err(|error| error.to_string())? {
            match heard {
                Heard::Send(bytes) => words.extend(bytes),
                Heard::Ready => words.extend(talk.ask().unwrap_or_default()),
                Heard::Answer(answer) => return Ok((talk.id().map(str::to_owned), answer)),
                Heard::Switch => {}
            }
        }
    }
}
