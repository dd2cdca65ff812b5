//! How many copies each node will hold: its ideal share, rounded so that little moves.

use alloc::vec;
use alloc::vec::Vec;

use super::shares::Share;
use super::table::Table;
use super::zones::Zones;
use crate::member::RingMember;

/// The targets: each the floor or ceiling of the ideal share, together exactly N x Q. Where there is
/// a choice, a node that holds more than its floor already gets the ceiling, because that moves
/// nothing.
pub(super) fn targets(
    members: &[RingMember],
    zones: &Zones,
    table: &Table<'_>,
    shares: &[Share],
) -> Vec<u32> {
    let rows = table.row_count();
    let total = table.place_count();
    let mut targets: Vec<u32> = shares.iter().map(Share::floor).collect();
    let mut zone_totals = vec![0usize; zones.count()];
    for (target, zone) in targets.iter().zip(&zones.of_member) {
        zone_totals[*zone] += *target as usize;
    }
    let mut missing = total - zone_totals.iter().sum::<usize>();

    let mut candidates: Vec<usize> = (0..members.len()).filter(|i| shares[*i].has_rest()).collect();
    candidates.sort_by(|&a, &b| {
        let above = |i: usize| table.held(i) > targets[i];
        above(b)
            .cmp(&above(a))
            .then(shares[b].compare_rest(&shares[a]))
            .then(members[a].node.cmp(&members[b].node))
    });
    for i in candidates {
        let zone_total = &mut zone_totals[zones.of_member[i]];
        if missing > 0 && *zone_total < zones.cap * rows {
            targets[i] += 1;
            *zone_total += 1;
            missing -= 1;
        }
    }
    assert_eq!(missing, 0, "the ceilings of all shares hold all copies");
    targets
}
