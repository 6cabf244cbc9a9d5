//! What a worker's nodes are called: those of the databases at present, and the last ones that were left,
//! of which something may still be said. For people; nothing is decided by it.

use std::collections::{BTreeMap, VecDeque};

use super::reach::Reach;
use crate::upstream::NodeId;

/// How many nodes that were left are remembered: those of a few failovers of every database.
const LEFT_MAX: usize = 256;

/// A database and the address of a node.
type Place = (String, String);

/// The nodes that can be spoken of.
#[derive(Default)]
pub(super) struct Places {
    present: BTreeMap<NodeId, Place>,
    /// The oldest first; at most [`LEFT_MAX`].
    left: VecDeque<(NodeId, Place)>,
}

impl Places {
    /// These are the nodes from now on.
    pub(super) fn follow(&mut self, reach: &Reach) {
        self.are(reach.places().map(|(database, id, address)| (id, (database, address))).collect());
    }

    fn are(&mut self, present: BTreeMap<NodeId, Place>) {
        let before = std::mem::replace(&mut self.present, present);
        let left = before.into_iter().filter(|(id, _)| !self.present.contains_key(id));
        self.left.extend(left);
        let surplus = self.left.len().saturating_sub(LEFT_MAX);
        self.left.drain(..surplus);
    }

    /// The database and the address of a node.
    pub(super) fn of(&self, id: NodeId) -> Place {
        let left = || self.left.iter().find(|(node, _)| *node == id).map(|(_, place)| place);
        self.present.get(&id).or_else(left).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u32) -> (NodeId, Place) {
        (NodeId(number), ("orders".to_owned(), format!("10.0.0.1:{number}")))
    }

    #[test]
    fn a_node_keeps_its_name_when_it_is_left_and_not_for_ever() {
        let mut places = Places::default();
        for number in 0..1_000 {
            places.are([place(number)].into());
            for known in number.saturating_sub(200)..=number {
                assert_eq!(places.of(NodeId(known)), place(known).1);
            }
        }
        assert_eq!(places.left.len(), LEFT_MAX);
        assert_eq!(places.of(NodeId(0)), Place::default());
    }
}
