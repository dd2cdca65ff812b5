//! What the register asks of puts and gets (the table of protocol rule 8).
//!
//! A request is sent *under* the register that its coordinator knows, and only answers given under
//! that same register count. A coordinator that is told `stale` takes the register and begins anew: it
//! sends the same version again. To count what was stored under the old register would count a
//! member that has moved on since, without what the new register demands.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;
use dynamo_types::planted::{PlantedBug, planted};

use crate::register::{Register, Stage};

/// One copy that was acknowledged under the register: whose it is, and who keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyOf {
    /// The member of a set.
    pub member: NodeId,
    /// That member itself, or the fallback that keeps an acknowledging hint for it.
    pub holder: NodeId,
}

/// The sets that a put needs w copies of each: one at rest, both during a move.
#[must_use]
pub fn write_sets(register: &Register) -> Vec<ReplicaSet> {
    match register.movement {
        None => Vec::from([register.current]),
        Some(movement) if movement.stage == Stage::Committed => Vec::from([movement.next]),
        Some(movement) => Vec::from([register.current, movement.next]),
    }
}

/// The set that a get needs r answers of.
#[must_use]
pub fn read_set(register: &Register) -> ReplicaSet {
    let switches =
        if planted(PlantedBug::ReadsSwitchWhenSynced) { Stage::Synced } else { Stage::Decided };
    match register.movement {
        Some(movement) if movement.stage >= switches => movement.next,
        _ => register.current,
    }
}

/// Whether a put may be answered: w copies of every set. A copy counts for its member, in each set
/// that has it, and once, whoever keeps it. Hints count as at rest (history 18), except under
/// `quorum=strict`.
#[must_use]
pub fn has_enough_copies(register: &Register, w: u8, strict: bool, copies: &[CopyOf]) -> bool {
    let counted = copies.iter().filter(|copy| !strict || copy.member == copy.holder);
    let members: BTreeSet<NodeId> = counted.map(|copy| copy.member).collect();
    write_sets(register)
        .iter()
        .all(|set| set.iter().filter(|node| members.contains(node)).count() >= usize::from(w))
}

/// Whether an answer to a get counts towards r: it is from a member of the set that is read, and that
/// member is complete. A fallback's counts by its hint, and never under `quorum=strict`
/// (protocol rule 7).
#[must_use]
pub fn is_read_from(register: &Register, member: NodeId) -> bool {
    read_set(register).contains(member)
}

/// Whether a node must not keep what it has of the partition: it offers that to the members as delayed
/// messages, and wipes it (history 20). Who leaves does so once the move is committed, and not before
/// it has compared with every member of the set by then.
#[must_use]
pub fn holds_leftovers(register: &Register, node: NodeId) -> bool {
    write_sets(register).iter().all(|set| !set.contains(node))
}
