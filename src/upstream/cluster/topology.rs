//! Which node has which slot, as requests are sent by it: a map whose nodes have numbers. What a
//! node says of a moved slot is taken over only where it names a node of the map: the map came from
//! nodes that the configuration names, a redirect from whoever answered.

use super::endpoint::Endpoint;
use super::map::Map;
use crate::command::slot::SLOTS;
use crate::upstream::NodeId;

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number in this process.
    pub id: NodeId,
    /// Where it is, as the cluster tells it.
    pub endpoint: Endpoint,
    /// Whether it has slots.
    pub is_master: bool,
}

/// The slots of a cluster and its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// For each slot the place of its master in `members`, or `NOBODY`.
    slots: Box<[u16]>,
    members: Vec<Member>,
}

const NOBODY: u16 = u16::MAX;

impl Default for Topology {
    /// Nobody has any slot.
    fn default() -> Self {
        Self { slots: vec![NOBODY; SLOTS].into_boxed_slice(), members: Vec::new() }
    }
}

impl Topology {
    /// Gives each node of a map the number that `number` tells.
    #[must_use]
    pub fn of(map: &Map, mut number: impl FnMut(&Endpoint) -> NodeId) -> Self {
        let members: Vec<Member> = map
            .endpoints()
            .into_iter()
            .map(|(endpoint, is_master)| Member {
                id: number(endpoint),
                endpoint: endpoint.clone(),
                is_master,
            })
            .collect();
        let mut slots = vec![NOBODY; SLOTS].into_boxed_slice();
        for part in &map.parts {
            let place = members.iter().position(|member| member.endpoint == part.master);
            let place = place.and_then(|place| u16::try_from(place).ok()).unwrap_or(NOBODY);
            slots[usize::from(part.first)..=usize::from(part.last)].fill(place);
        }
        Self { slots, members }
    }

    /// The node that has this slot.
    #[must_use]
    pub fn node(&self, slot: u16) -> Option<NodeId> {
        Some(self.members.get(usize::from(*self.slots.get(usize::from(slot))?))?.id)
    }

    /// The nodes that have slots.
    pub fn masters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_master)
    }

    /// The nodes that have at least one slot, in the order of their addresses.
    #[must_use]
    pub fn serving(&self) -> Vec<&Member> {
        let mut has_some = vec![false; self.members.len()];
        for &place in &self.slots {
            if let Some(has) = has_some.get_mut(usize::from(place)) {
                *has = true;
            }
        }
        let mut serving: Vec<&Member> =
            self.members.iter().zip(has_some).filter(|(_, has)| *has).map(|(member, _)| member).collect();
        serving.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
        serving
    }

    /// All nodes.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The node that a redirect of node `from` names, if the map has it.
    #[must_use]
    pub fn target(&self, from: NodeId, to: &Endpoint) -> Option<NodeId> {
        let asked = self.members.iter().find(|member| member.id == from).map_or("", |it| &it.endpoint.host);
        let to = to.clone().or_host(asked);
        Some(self.members.iter().find(|member| member.endpoint == to)?.id)
    }

    /// The slot is this node's from now on.
    pub fn moved(&mut self, slot: u16, to: NodeId) {
        let place = self.members.iter().position(|member| member.id == to);
        if let (Some(place), Some(slot)) = (place, self.slots.get_mut(usize::from(slot))) {
            self.members[place].is_master = true;
            *slot = u16::try_from(place).unwrap_or(NOBODY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;

    #[test]
    fn slots_move_to_nodes_of_the_map_and_nowhere_else() {
        let at = |host: &str, port| Endpoint::new(host, port);
        let part = |first, last, port, replicas| Part { first, last, master: at("h", port), replicas };
        let parts = vec![part(0, 99, 1, vec![at("h", 3)]), part(100, 199, 2, vec![])];
        let mut topology = Topology::of(&Map { parts, empty_masters: vec![at("h", 4)] }, |endpoint| {
            NodeId(endpoint.port.into())
        });
        assert_eq!(topology.masters().count(), 2);
        assert_eq!(
            [0, 99, 100, 199, 200].map(|slot| topology.node(slot).map(|id| id.0)),
            [Some(1), Some(1), Some(2), Some(2), None]
        );
        let one = NodeId(1);
        assert_eq!(topology.target(one, &at("h", 2)), Some(NodeId(2)));
        assert_eq!(topology.target(one, &at("", 3)), Some(NodeId(3)));
        assert_eq!(topology.target(one, &at("?", 2)), None, "a node without a name can be on any host");
        assert_eq!(topology.target(one, &at("169.254.169.254", 80)), None);
        assert_eq!(topology.target(one, &at("h", 80)), None);
        assert_eq!(topology.target(one, &at("h", 4)), Some(NodeId(4)), "its first slot is about to come");
        assert_eq!(topology.serving().len(), 2);
        topology.moved(99, NodeId(3));
        topology.moved(98, NodeId(80));
        assert_eq!([98, 99].map(|slot| topology.node(slot)), [Some(one), Some(NodeId(3))]);
        assert_eq!(topology.masters().count(), 3);
    }
}
