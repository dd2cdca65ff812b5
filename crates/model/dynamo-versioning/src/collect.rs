//! Collection by the stable cut (protocol rule 5): what all members have incorporated for good.
//!
//! Only a record whose *whole* context lies inside the cut may lose anything. Then every member
//! holds the same replacements, so nobody can still hold what they replaced. Cutting single
//! intervals is unsafe: the version that replaced them may not be known everywhere.

use dynamo_types::WallTime;
use dynamo_types::planted::{PlantedBug, planted};

use crate::dot_set::DotSet;
use crate::record::Record;

/// Whether the record may be removed: all its versions are tombstones or expired by `wall`, and its
/// whole context is inside the cut. Its context then joins the horizon. An incoming record that is
/// collectable here is acknowledged and not stored.
#[must_use]
pub fn collectable(record: &Record, wall: WallTime, cut: &DotSet) -> bool {
    if planted(PlantedBug::CollectDotsOnly) {
        let over = record.siblings().iter().all(|s| s.is_tombstone() || s.is_expired(wall));
        return over && record.dots().all(|dot| cut.contains(dot));
    }
    record.siblings().iter().all(|s| s.is_tombstone() || s.is_expired(wall))
        && record.context().is_subset_of(cut)
}

/// Cuts the context down to the siblings' dots if the whole of it is inside the cut; tells whether
/// that removed anything.
///
/// The *whole* context from before then joins the horizon
/// ([`DotClock::collected`](crate::DotClock::collected)), the siblings' dots included: they are what
/// replaced the rest. A horizon without them could lie inside the clock of a sender whose state is
/// older than the replacement, and its record would bring the replaced versions back.
pub fn shrink(record: &mut Record, cut: &DotSet) -> bool {
    if planted(PlantedBug::PrunePerInterval) {
        return prune_per_interval(record, cut);
    }
    let shortest = record.dots().collect::<DotSet>();
    if *record.context() == shortest || !record.context().is_subset_of(cut) {
        return false;
    }
    record.cut_context();
    true
}

/// The planted mistake of history 2.
fn prune_per_interval(record: &mut Record, cut: &DotSet) -> bool {
    let dots = record.dots().collect::<DotSet>();
    let mut pruned = DotSet::new();
    for (actor, lo, hi) in record.context().intervals() {
        let mut interval = DotSet::new();
        interval.insert_interval(actor, lo, hi);
        if interval.is_subset_of(cut) && interval.intersection(&dots).is_empty() {
            pruned.union_with(&interval);
        }
    }
    record.prune(&pruned);
    !pruned.is_empty()
}
