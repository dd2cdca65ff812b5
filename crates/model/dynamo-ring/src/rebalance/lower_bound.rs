//! The fewest copies that any fair layout has to move, proven without looking for a layout.
//!
//! A layout is fair if every set has N distinct members, no zone has more of a set than its cap, and
//! every node holds the floor or ceiling of its ideal share. Its cost is the number of copies that
//! were not there before. Let every node be paid a *price* for each copy that it holds, in copies.
//! Then a fair layout costs
//!
//! ```text
//!   sum over rows of (copies that are new - prices of the row's members)   never below the best row
//! + sum over nodes of (price x copies held)                                never below the best rounding
//! ```
//!
//! and both sums have a minimum that is easy to find, because rows and nodes no longer hang together
//! (Lagrange's relaxation). So **any** prices at all give a number that no fair layout goes
//! below: whoever reads the bound need not trust the solver. Good prices make it a good bound, and the
//! best ones make it exact, since this is a flow of least cost. Three attempts are made:
//!
//! - nobody is paid: what has to leave a row must be replaced;
//! - who holds less than its share is paid 1: what it lacks must be fetched;
//! - the finished plan suggests prices: such that no exchange in it would pay. If there are
//!   such prices, the plan's own cost is the bound, and the plan is thereby proven to be best.
//!
//! **Cost**: Q x N steps for each attempt; for the prices Q x (N x N + log Q) in each round.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::shares::Share;
use super::zones::Zones;
use crate::layout::Layout;
use crate::member::RingMember;

/// Prices settle within few rounds or, if the plan is not the best, never: then the other attempts
/// count. Chains of more exchanges than this were never seen to matter.
const ROUNDS_MAX: usize = 40;

/// What may be known of a change before there is a plan.
#[derive(Debug)]
pub(super) struct Change<'a> {
    zones: &'a Zones,
    shares: &'a [Share],
    /// N.
    width: usize,
    /// The members that held each row before and are still there.
    before: Vec<Vec<u16>>,
}

impl<'a> Change<'a> {
    pub(super) fn new(
        old: &Layout,
        members: &'a [RingMember],
        zones: &'a Zones,
        shares: &'a [Share],
    ) -> Self {
        let number_of = |node| members.binary_search_by_key(&node, |m| m.node).ok();
        let before = old
            .iter()
            .map(|(_, set)| set.iter().filter_map(number_of).map(super::table::number).collect())
            .collect();
        Self { zones, shares, width: usize::from(old.replication().get()), before }
    }

    /// No fair layout moves fewer copies than this. `plan` is the numbers of the members in each
    /// row, N a row; it decides how close the bound comes, not whether it holds.
    pub(super) fn lower_bound(&self, plan: &[u16]) -> u32 {
        let mut held = vec![0u32; self.shares.len()];
        for member in self.before.iter().flatten() {
            held[usize::from(*member)] += 1;
        }
        let unpaid = vec![0; held.len()];
        let lacking = held.iter().zip(self.shares).map(|(held, share)| *held <= share.floor());
        let mut best =
            self.bound(&unpaid).max(self.bound(&lacking.map(i32::from).collect::<Vec<_>>()));
        // Prices by which no other rounding pays either come first: without those the plan may be the
        // best for its targets only.
        for with_rounding in [true, false] {
            let cost = i64::from(self.cost(plan));
            if best == cost {
                break;
            }
            best = best.max(self.bound(&self.suggested_prices(plan, with_rounding)));
        }
        u32::try_from(best).expect("from nothing to all copies")
    }

    /// What no fair layout goes below, by these prices.
    fn bound(&self, prices: &[i32]) -> i64 {
        let mut by_price: Vec<u16> = (0..prices.len()).map(super::table::number).collect();
        by_price.sort_by_key(|m| (Reverse(prices[usize::from(*m)]), *m));
        let mut in_zone = vec![0; self.zones.count()];
        let rows = self.before.iter();
        let rows: i64 = rows.map(|row| self.best_row(row, &by_price, prices, &mut in_zone)).sum();
        rows + self.best_rounding(prices)
    }

    /// The cheapest N members for one row. To take the cheapest that still fits again and again is
    /// best: a cap for each zone and one for all is a matroid.
    fn best_row(
        &self,
        before: &[u16],
        by_price: &[u16],
        prices: &[i32],
        in_zone: &mut [usize],
    ) -> i64 {
        let price = |m: u16| i64::from(prices[usize::from(m)]);
        let mut stayers = before.to_vec();
        stayers.sort_by_key(|m| (Reverse(price(*m)), *m));
        let mut stayers = stayers.into_iter().peekable();
        let mut joiners = by_price.iter().copied().filter(|m| !before.contains(m)).peekable();
        in_zone.fill(0);
        let (mut taken, mut sum) = (0, 0);
        while taken < self.width {
            let stays = match (stayers.peek(), joiners.peek()) {
                (Some(stayer), Some(joiner)) => -price(*stayer) <= 1 - price(*joiner),
                (stayer, _) => stayer.is_some(),
            };
            let next = if stays { stayers.next() } else { joiners.next() };
            let next = next.expect("the cap lets N members find a place");
            let zone = &mut in_zone[self.zones.of_member[usize::from(next)]];
            if *zone < self.zones.cap {
                *zone += 1;
                taken += 1;
                sum += i64::from(!stays) - price(next);
            }
        }
        sum
    }

    /// The least that fair numbers of copies are paid for.
    fn best_rounding(&self, prices: &[i32]) -> i64 {
        let floors: i64 = self.shares.iter().map(|share| i64::from(share.floor())).sum();
        let total = i64::try_from(self.before.len() * self.width).expect("at most 7 x 65,536");
        let paid = self.shares.iter().zip(prices);
        let paid: i64 = paid.map(|(s, price)| i64::from(s.floor()) * i64::from(*price)).sum();
        let with_rest = self.shares.iter().zip(prices).filter(|(share, _)| share.has_rest());
        let mut ceilings: Vec<i64> = with_rest.map(|(_, price)| i64::from(*price)).collect();
        ceilings.sort_unstable();
        let missing = usize::try_from(total - floors).expect("floors are no more than all copies");
        paid + ceilings.iter().take(missing).sum::<i64>()
    }

    /// Prices by which no exchange in the plan would pay, or what is found of them in
    /// [`ROUNDS_MAX`] rounds: the shortest paths of Bellman and Ford.
    fn suggested_prices(&self, plan: &[u16], with_rounding: bool) -> Vec<i32> {
        let mut prices = vec![0; self.shares.len()];
        let mut held = vec![0u32; prices.len()];
        for member in plan {
            held[usize::from(*member)] += 1;
        }
        for _ in 0..ROUNDS_MAX {
            let mut settled = self.lower_for_exchanges(plan, &mut prices);
            if with_rounding {
                settled &= self.lower_for_rounding(&held, &mut prices);
            }
            if settled {
                break;
            }
        }
        prices
    }

    /// Whoever could enter a row in someone's place is paid no more than that one, the cost of the
    /// exchange aside. Returns whether all prices were so already.
    fn lower_for_exchanges(&self, plan: &[u16], prices: &mut [i32]) -> bool {
        let zones = self.zones;
        let row_of = |row: usize| &plan[row * self.width..][..self.width];
        let of_zone = |members: &[u16], zone: usize| -> usize {
            members.iter().filter(|m| zones.of_member[usize::from(**m)] == zone).count()
        };
        let mut limits = prices.to_vec();
        // What the members of one zone ask of the others of it, with the row; and what a whole row
        // asks of those whose zone is not full there.
        let mut within: Vec<Vec<(i32, usize)>> = vec![Vec::new(); zones.count()];
        let mut across: Vec<(i32, usize)> = Vec::with_capacity(self.before.len());
        for (row, before) in self.before.iter().enumerate() {
            let members = row_of(row);
            let worth = |m: &u16| prices[usize::from(*m)] - i32::from(!before.contains(m));
            let least = members.iter().map(worth).min().expect("rows are not empty");
            across.push((least, row));
            let least_of = |zone: usize| {
                let inside = members.iter().filter(|m| zones.of_member[usize::from(**m)] == zone);
                inside.map(worth).min()
            };
            for (place, member) in members.iter().enumerate() {
                let zone = zones.of_member[usize::from(*member)];
                let is_full = of_zone(members, zone) >= zones.cap;
                if is_full && of_zone(&members[..place], zone) == 0 {
                    within[zone].push((least_of(zone).expect("it has a member here"), row));
                }
            }
            // Those who were here before return for nothing.
            for member in before.iter().filter(|m| !members.contains(m)) {
                let zone = zones.of_member[usize::from(*member)];
                let is_full = of_zone(members, zone) >= zones.cap;
                let limit = if is_full { least_of(zone) } else { None }.unwrap_or(least);
                let own = &mut limits[usize::from(*member)];
                *own = limit.min(*own);
            }
        }
        across.sort_unstable();
        within.iter_mut().for_each(|limits| limits.sort_unstable());
        let is_open = |row: usize, zone: usize| of_zone(row_of(row), zone) < zones.cap;
        let open_from: Vec<usize> = (0..zones.count())
            .map(|zone| across.iter().position(|(_, row)| is_open(*row, zone)))
            .map(|first| first.unwrap_or(across.len()))
            .collect();
        for (member, own) in limits.iter_mut().enumerate() {
            let zone = zones.of_member[member];
            let is_out = |row: usize| !row_of(row).contains(&super::table::number(member));
            let inside = within[zone].iter().find(|(_, row)| is_out(*row));
            let mut outside = across[open_from[zone]..].iter();
            let outside = outside.find(|(_, row)| is_out(*row) && is_open(*row, zone));
            for (limit, _) in [inside, outside].into_iter().flatten() {
                *own = (limit + 1).min(*own);
            }
        }
        let settled = limits == prices;
        prices.copy_from_slice(&limits);
        settled
    }

    /// Who was rounded up is paid no more than who was rounded down. Returns whether it was so.
    fn lower_for_rounding(&self, held: &[u32], prices: &mut [i32]) -> bool {
        let rounded = |i: usize, up: bool| {
            self.shares[i].has_rest() && (held[i] > self.shares[i].floor()) == up
        };
        let down = (0..held.len()).filter(|i| rounded(*i, false)).map(|i| prices[i]).min();
        let Some(limit) = down else { return true };
        let mut settled = true;
        for i in (0..held.len()).filter(|i| rounded(*i, true)) {
            if prices[i] > limit {
                prices[i] = limit;
                settled = false;
            }
        }
        settled
    }

    /// Copies of the plan that were not there before.
    fn cost(&self, plan: &[u16]) -> u32 {
        let rows = plan.chunks(self.width).zip(&self.before);
        let new = rows.flat_map(|(row, before)| row.iter().filter(|m| !before.contains(m)));
        u32::try_from(new.count()).expect("at most 7 x 65,536")
    }
}
