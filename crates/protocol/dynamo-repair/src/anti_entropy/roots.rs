//! A partition in short: what two nodes compare first.

use dynamo_messages::repair::{ClockDigest, PartitionRoot};
use dynamo_types::PartitionId;
use dynamo_versioning::DotClock;

use super::event::PartitionState;

/// What is told of a partition; nothing while it is incomplete.
pub(super) fn root_of(partition: PartitionId, state: PartitionState<'_>) -> Option<PartitionRoot> {
    let root = state.tree.root();
    (!state.incomplete).then(|| PartitionRoot { partition, root, clock: digest_of(state.clock) })
}

/// The same on every replica that has incorporated and collected the same.
fn digest_of(clock: &DotClock) -> ClockDigest {
    let hash = blake3::hash(&clock.encode());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    ClockDigest(u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_merkle::SumTree;
    use dynamo_types::{ActorId, PartitionCount};
    use dynamo_versioning::Dot;

    #[test]
    fn roots_tell_dots_from_horizon_and_are_the_same_on_all_builds() {
        let tree = SumTree::new(PartitionCount::new(1).unwrap(), 0);
        let root = |clock: &DotClock, incomplete| {
            root_of(
                PartitionId(3),
                PartitionState {
                    register: dynamo_types::RegisterTag::of_digest(1),
                    one_at_a_time: false,
                    tree: &tree,
                    clock,
                    incomplete,
                    losses: 0,
                },
            )
        };
        let mut clock = DotClock::new();
        let empty = root(&clock, false).unwrap();
        clock.dots.insert(Dot::new(ActorId(1), 1));
        let dots = root(&clock, false).unwrap();
        clock.horizon.insert(Dot::new(ActorId(1), 1));
        let both = root(&clock, false).unwrap();
        assert!(empty != dots && dots != both && empty != both);
        assert_eq!(root(&clock, true), None);
        assert_eq!(both.clock, ClockDigest(3_007_199_405_891_511_905));
    }
}
