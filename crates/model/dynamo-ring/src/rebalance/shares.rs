//! The ideal number of copies of each node, as exact fractions.
//!
//! The ideal is a share by weight, filled like water: a node is full at one copy of every
//! partition, a zone at its cap in every partition, and what does not fit rises over the others. With
//! `level = amount / weight`, a node's share is its weight times the level of its pool. The pool is
//! the whole cluster, or the zone when that is full.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::zones::Zones;
use crate::member::RingMember;

/// A node's ideal number of copies: `whole + rest / per`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    whole: u32,
    rest: u128,
    per: u128,
}

impl Share {
    /// The largest whole number in the share: no fair layout gives less.
    pub(super) fn floor(&self) -> u32 {
        self.whole
    }

    /// Whether a fair layout may round up.
    pub(super) fn has_rest(&self) -> bool {
        self.rest > 0
    }

    /// Which share misses more by rounding down.
    pub(super) fn compare_rest(&self, other: &Self) -> Ordering {
        (self.rest * other.per).cmp(&(other.rest * self.per))
    }

    fn of(weight: u32, level: Level) -> Self {
        let product = u128::from(weight) * level.amount;
        let whole = u32::try_from(product / level.weight).expect("a share is at most Q");
        Self { whole, rest: product % level.weight, per: level.weight }
    }
}

/// Copies per weight: `amount / weight`. Amounts stay below 2^20 and weights below 2^44, so that the
/// products compared here fit 128 bits with room.
#[derive(Debug, Clone, Copy)]
struct Level {
    amount: u128,
    weight: u128,
}

/// What each member should hold of `rows` rows that have `total` places together.
pub(super) fn ideal_shares(
    members: &[RingMember],
    zones: &Zones,
    rows: usize,
    total: usize,
) -> Vec<Share> {
    let (rows, total) = (rows as u128, total as u128);
    let everyone: Vec<usize> = (0..members.len()).collect();
    let zone_max = rows * zones.cap as u128;
    let mut full_zones = vec![false; zones.count()];
    let mut shares = vec![Share { whole: 0, rest: 0, per: 1 }; members.len()];
    // A full zone leaves more for the others, which may fill another one. The level only rises, so a
    // zone that was full once stays full.
    loop {
        let open: Vec<usize> =
            everyone.iter().copied().filter(|i| !full_zones[zones.of_member[*i]]).collect();
        let in_full = full_zones.iter().filter(|full| **full).count() as u128 * zone_max;
        let level = fill_nodes(members, &open, rows, total - in_full, &mut shares);
        let Some(level) = level else { break };
        let mut zone_totals = vec![0u128; zones.count()];
        for &i in &open {
            let wanted = u128::from(members[i].weight) * level.amount;
            zone_totals[zones.of_member[i]] += wanted.min(rows * level.weight);
        }
        let newly_full: Vec<usize> = (0..zones.count())
            .filter(|zone| !full_zones[*zone] && zone_totals[*zone] > zone_max * level.weight)
            .collect();
        if newly_full.is_empty() {
            break;
        }
        for zone in newly_full {
            full_zones[zone] = true;
            let inside: Vec<usize> =
                everyone.iter().copied().filter(|i| zones.of_member[*i] == zone).collect();
            fill_nodes(members, &inside, rows, zone_max, &mut shares);
        }
    }
    shares
}

/// Shares `amount` among some nodes by weight, none above `rows`. Returns the level of those that
/// are not full, if there are any.
fn fill_nodes(
    members: &[RingMember],
    nodes: &[usize],
    rows: u128,
    amount: u128,
    shares: &mut [Share],
) -> Option<Level> {
    let mut open = nodes.to_vec();
    let mut left = amount;
    loop {
        let weight: u128 = open.iter().map(|i| u128::from(members[*i].weight)).sum();
        if weight == 0 {
            return None;
        }
        let level = Level { amount: left, weight };
        let is_full = |i: &usize| u128::from(members[*i].weight) * left >= rows * weight;
        let (full, rest): (Vec<usize>, Vec<usize>) = open.iter().partition(|i| is_full(i));
        if full.is_empty() {
            for i in rest {
                shares[i] = Share::of(members[i].weight, level);
            }
            return Some(level);
        }
        for i in &full {
            shares[*i] = Share { whole: u32::try_from(rows).expect("Q"), rest: 0, per: 1 };
        }
        left -= full.len() as u128 * rows;
        open = rest;
    }
}
