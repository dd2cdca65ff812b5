//! Members that were never heard of: whom to greet next, and when to give them up.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_types::{Instant, NodeId};
use rand_core::Rng;

/// So many are greeted at a time. The first who answers names most others.
pub(super) const GREETED_AT_ONCE: usize = 3;

/// How often.
pub(super) const GREET_PERIOD: Duration = Duration::from_secs(1);

/// Unanswered greetings before a member counts as down. One may be lost.
const GREETINGS_TO_DOWN: u32 = 3;

/// The members that have not been heard of, by how often they were greeted.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    greeted: BTreeMap<NodeId, Greeted>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Greeted {
    count: u32,
    first: Option<Instant>,
}

impl Greetings {
    /// A member was not heard of. Keeps what is known if it is waited for already.
    pub(super) fn wait_for(&mut self, node: NodeId) {
        self.greeted.entry(node).or_default();
    }

    /// A member was heard of, or is none any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.greeted.remove(&node);
    }

    /// Chooses whom to greet now: those who were greeted least, at random among them.
    pub(super) fn choose(&mut self, now: Instant, rng: &mut impl Rng) -> Vec<NodeId> {
        let mut order: Vec<(u32, u64, NodeId)> =
            self.greeted.iter().map(|(node, known)| (known.count, rng.next_u64(), *node)).collect();
        order.sort_unstable();
        order.truncate(GREETED_AT_ONCE);
        let chosen: Vec<NodeId> = order.into_iter().map(|(.., node)| node).collect();
        for node in &chosen {
            if let Some(known) = self.greeted.get_mut(node) {
                known.count = known.count.saturating_add(1);
                known.first.get_or_insert(now);
            }
        }
        chosen
    }

    /// Those who did not answer several greetings for that long.
    pub(super) fn given_up(
        &self,
        now: Instant,
        patience: Duration,
    ) -> impl Iterator<Item = NodeId> + '_ {
        self.greeted.iter().filter_map(move |(node, known)| {
            let waited = now.saturating_since(known.first?);
            (known.count >= GREETINGS_TO_DOWN && waited >= patience).then_some(*node)
        })
    }
}
