//! How many clients there are, in all, at each worker, and of each user; and the
//! places that are given back when a client's task ends, however it ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of clients, shared by all threads.
#[derive(Debug)]
pub(super) struct Census {
    /// Connections at each worker, those in their handshake included.
    workers: Vec<AtomicUsize>,
    users: Mutex<HashMap<String, usize>>,
}

/// A connection's place at a worker.
#[derive(Debug)]
pub(super) struct Place {
    census: Arc<Census>,
    worker: usize,
}

/// A client's place among those of its user.
#[derive(Debug)]
pub(super) struct UserPlace {
    census: Arc<Census>,
    user: String,
}

impl Census {
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let workers = (0..workers).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self { workers, users: Mutex::default() })
    }

    /// Connections in all.
    pub(super) fn total(&self) -> usize {
        self.workers.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Takes a place at the worker with the fewest connections.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let counts = self.workers.iter().map(|count| count.load(Ordering::Relaxed));
        let worker = counts.zip(0..).min().map_or(0, |(_, worker)| worker);
        self.workers[worker].fetch_add(1, Ordering::Relaxed);
        Place { census: Arc::clone(self), worker }
    }

    /// Takes a place among the clients of a user, if fewer than `most` are there.
    pub(super) fn user_place(self: &Arc<Self>, user: &str, most: usize) -> Option<UserPlace> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(user.to_owned()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(UserPlace { census: Arc::clone(self), user: user.to_owned() })
    }
}

impl Place {
    /// Which worker.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.census.workers[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for UserPlace {
    fn drop(&mut self) {
        let mut users = self.census.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
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
    fn one_user_has_so_many_places_and_no_more() {
        let census = Census::new(1);
        let first = census.user_place("app", 1);
        assert!(first.is_some() && census.user_place("app", 1).is_none());
        assert!(census.user_place("ops", 1).is_some());
        drop(first);
        assert!(census.user_place("app", 1).is_some());
    }
}
