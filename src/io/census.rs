//! How many clients there are, in all, at each worker, of each user, and on their way in from
//! each network; and the places that are given back when a client's task ends, however it ends.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::Network;

/// Counts of clients, shared by all threads.
#[derive(Debug)]
pub(super) struct Census {
    /// Connections at each worker, those in their handshake included.
    workers: Vec<AtomicUsize>,
    /// Those of them that are only told that they are refused.
    refused: AtomicUsize,
    users: Arc<Counts<String>>,
    /// Clients whose handshake has not ended.
    networks: Arc<Counts<Network>>,
}

/// A connection's place at a worker.
#[derive(Debug)]
pub(super) struct Place {
    census: Arc<Census>,
    worker: usize,
    is_refused: bool,
}

/// How many there are of each; what there is none of takes no memory.
#[derive(Debug)]
struct Counts<K>(Mutex<HashMap<K, usize>>);

/// A place among those that are counted together.
#[derive(Debug)]
pub(super) struct PlaceOf<K: Eq + Hash> {
    counts: Arc<Counts<K>>,
    key: K,
}

/// A client's place among those of its user.
pub(super) type UserPlace = PlaceOf<String>;

/// A client's place among those of its network whose handshake has not ended.
pub(super) type NetworkPlace = PlaceOf<Network>;

impl<K: Clone + Eq + Hash> Counts<K> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Takes a place, if fewer than `most` are there.
    fn place(self: &Arc<Self>, key: K, most: usize) -> Option<PlaceOf<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        Some(PlaceOf { counts: Arc::clone(self), key })
    }
}

impl Census {
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let workers = (0..workers).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self {
            workers,
            refused: AtomicUsize::new(0),
            users: Counts::new(),
            networks: Counts::new(),
        })
    }

    /// Connections in all.
    pub(super) fn total(&self) -> usize {
        self.workers.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Those of them that are in, or may come in; one that is just leaving may still count.
    pub(super) fn inside(&self) -> usize {
        // In this order: who is refused and leaves in between is not taken for a place that is free.
        let total = self.total();
        total.saturating_sub(self.refused.load(Ordering::Relaxed))
    }

    /// Takes a place at the worker with the fewest connections.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let counts = self.workers.iter().map(|count| count.load(Ordering::Relaxed));
        let worker = counts.zip(0..).min().map_or(0, |(_, worker)| worker);
        self.workers[worker].fetch_add(1, Ordering::Relaxed);
        Place { census: Arc::clone(self), worker, is_refused: false }
    }

    /// Takes a place among the clients of a user, if fewer than `most` are there.
    pub(super) fn user_place(&self, user: &str, most: usize) -> Option<UserPlace> {
        self.users.place(user.to_owned(), most)
    }

    /// Takes a place among the clients of a network whose handshake has not ended, if fewer than
    /// `most` are there.
    pub(super) fn network_place(&self, network: Network, most: usize) -> Option<NetworkPlace> {
        self.networks.place(network, most)
    }
}

impl Place {
    /// Which worker.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// It does not come in: until it is gone it is one of those who are only told so.
    pub(super) fn refuse(&mut self) {
        if !std::mem::replace(&mut self.is_refused, true) {
            self.census.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_refused {
            self.census.refused.fetch_sub(1, Ordering::Relaxed);
        }
        self.census.workers[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

impl<K: Eq + Hash> Drop for PlaceOf<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_the_fewest_are_and_places_are_given_back() {
        let census = Census::new(2);
        let places: Vec<Place> = (0..3).map(|_| census.place()).collect();
        assert_eq!(places.iter().map(Place::worker).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(census.total(), 3);
        drop(places);
        assert_eq!(census.total(), 0);
    }

    #[test]
    fn who_is_refused_takes_no_place_of_those_inside() {
        let census = Census::new(2);
        let (inside, mut refused) = (census.place(), census.place());
        assert_eq!((census.total(), census.inside()), (2, 2));
        refused.refuse();
        refused.refuse();
        assert_eq!((census.total(), census.inside()), (2, 1));
        drop(refused);
        assert_eq!((census.total(), census.inside()), (1, 1));
        drop(inside);
        assert_eq!((census.total(), census.inside()), (0, 0));
    }

    #[test]
    fn one_user_has_so_many_places_and_no_more() {
        let census = Census::new(1);
        let first = census.user_place("app", 1);
        assert!(first.is_some() && census.user_place("app", 1).is_none());
        assert!(census.user_place("ops", 1).is_some());
        drop(first);
        assert!(census.user_place("app", 1).is_some());
    }

    #[test]
    fn networks_that_are_gone_take_no_memory() {
        let census = Census::new(1);
        let network = |text: &str| Network::from(text.parse::<std::net::IpAddr>().expect("an address"));
        let place = |text: &str| census.network_place(network(text), 1);
        let many: Vec<_> = (0..=255).map(|last| place(&format!("192.0.2.{last}"))).collect();
        assert!(many.iter().all(Option::is_some) && place("192.0.2.7").is_none());
        let six = place("2001:db8::1");
        assert!(six.is_some() && place("2001:db8::2").is_none(), "a site is one network");
        assert!(place("2001:db8:0:1::1").is_some());
        drop((many, six));
        assert_eq!(census.networks.0.lock().expect("not poisoned").len(), 0);
    }
}
