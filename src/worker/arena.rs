//! Slots with generations: an id that has been given away never means another
//! tenant of its slot.

use std::marker::PhantomData;

use crate::session::SessionId;
use crate::upstream::LinkId;

/// An id made of a slot and its generation.
pub(super) trait Key: Copy {
    fn new(index: u32, generation: u32) -> Self;
    fn parts(self) -> (u32, u32);
}

impl Key for SessionId {
    fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }
    fn parts(self) -> (u32, u32) {
        (self.index, self.generation)
    }
}

impl Key for LinkId {
    fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }
    fn parts(self) -> (u32, u32) {
        (self.index, self.generation)
    }
}

#[derive(Debug)]
pub(super) struct Arena<K, T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    key: PhantomData<K>,
}

impl<K, T> Default for Arena<K, T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), key: PhantomData }
    }
}

impl<K: Key, T> Arena<K, T> {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> K {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.1 = Some(value);
            return K::new(index, slot.0);
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 connections");
        self.slots.push((0, Some(value)));
        K::new(index, 0)
    }

    pub(super) fn get(&self, key: K) -> Option<&T> {
        let (index, generation) = key.parts();
        let slot = self.slots.get(index as usize)?;
        if slot.0 == generation { slot.1.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (index, generation) = key.parts();
        let slot = self.slots.get_mut(index as usize)?;
        if slot.0 == generation { slot.1.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let (index, generation) = key.parts();
        let slot = self.slots.get_mut(index as usize)?;
        if slot.0 != generation {
            return None;
        }
        let value = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots
            .iter()
            .zip(0..)
            .filter_map(|((generation, value), index)| Some((K::new(index, *generation), value.as_ref()?)))
    }

    pub(super) fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_never_finds_the_next_tenant() {
        let mut arena: Arena<LinkId, &str> = Arena::default();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert("second");
        assert_eq!((first.index, arena.len()), (second.index, 1));
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&"second"));
        assert_eq!(arena.keys(), [second]);
    }
}
