//! Which member could hand a copy to which other, and what that costs: one count for each pair, so
//! that a search over members need not look at partitions.

use alloc::vec;
use alloc::vec::Vec;

use dynamo_types::Replication;

use super::table::Table;

/// The three costs of an exchange: -1, 0 and 1 copies to fetch.
const COSTS: usize = 3;

/// For each pair (leaving, entering) and each cost, in how many rows the exchange is legal.
#[derive(Debug)]
pub(super) struct Exchanges {
    member_count: usize,
    counts: Vec<[u32; COSTS]>,
    /// For each pair the least cost that some row allows, or [`NONE`]: what searches look at.
    least: Vec<i8>,
    /// Room to note the full zones of one row in.
    is_full: Vec<bool>,
}

/// No row allows the exchange.
pub(super) const NONE: i8 = i8::MAX;

impl Exchanges {
    pub(super) fn of(table: &Table<'_>) -> Self {
        let member_count = table.member_count();
        // The vacancy can leave, but not enter.
        let counts = vec![[0; COSTS]; (member_count + 1) * member_count];
        let mut exchanges = Self {
            member_count,
            counts,
            least: Vec::new(),
            is_full: vec![false; table.zones().count()],
        };
        for row in 0..table.row_count() {
            exchanges.count(table, row, 1);
        }
        exchanges.least = exchanges.counts.iter().map(least_of).collect();
        exchanges
    }

    /// The least cost at which `leaving` could hand a copy to each member, [`NONE`] if it cannot.
    pub(super) fn least_costs(&self, leaving: usize) -> &[i8] {
        &self.least[leaving * self.member_count..][..self.member_count]
    }

    /// Makes an exchange in the table and keeps the counts true.
    pub(super) fn replace(
        &mut self,
        table: &mut Table<'_>,
        row: usize,
        leaving: usize,
        entering: usize,
    ) {
        self.count(table, row, -1);
        self.look_again(table.row(row));
        table.replace(row, leaving, entering);
        self.count(table, row, 1);
        self.look_again(table.row(row));
    }

    fn look_again(&mut self, leaving: &[u16]) {
        for leaving in leaving.iter().map(|m| usize::from(*m) * self.member_count) {
            let pairs = leaving..leaving + self.member_count;
            for (least, counts) in self.least[pairs.clone()].iter_mut().zip(&self.counts[pairs]) {
                *least = least_of(counts);
            }
        }
    }

    fn count(&mut self, table: &Table<'_>, row: usize, by: i32) {
        let places = table.row(row);
        for (place, leaving) in places.iter().enumerate() {
            // Several vacancies of one row are one possibility.
            if !places[..place].contains(leaving) {
                self.count_leaving(table, row, usize::from(*leaving), by);
            }
        }
    }

    /// All members but a few, whose zone is full or who know the row, enter at the same cost: those
    /// are counted without a look at the row, which is most of the solver's work in tight zones.
    fn count_leaving(&mut self, table: &Table<'_>, row: usize, leaving: usize, by: i32) {
        let zones = table.zones();
        self.is_full.fill(false);
        for zone in table.full_zones_without(row, leaving) {
            self.is_full[zone] = true;
        }
        let is_full = &self.is_full;
        let place_of = |cost: i32| usize::try_from(cost + 1).expect("a cost is -1, 0 or 1");
        let cost_of_new = place_of(table.cost_of_new(row, leaving));
        let counts = &mut self.counts[leaving * self.member_count..][..self.member_count];
        for (count, zone) in counts.iter_mut().zip(&zones.of_member) {
            if !is_full[*zone] {
                count[cost_of_new] = count[cost_of_new].wrapping_add_signed(by);
            }
        }
        // Now those that know the row: its members cannot enter, and old ones return for less.
        let known = table.row(row).iter().chain(table.row_before(row)).map(|m| usize::from(*m));
        let mut seen = [usize::MAX; 2 * Replication::MAX as usize];
        for (number, member) in known.enumerate() {
            if member == table.vacant() || seen[..number].contains(&member) {
                continue;
            }
            seen[number] = member;
            let count = &mut counts[member];
            if !is_full[zones.of_member[member]] {
                count[cost_of_new] = count[cost_of_new].wrapping_add_signed(-by);
            }
            if table.may_replace(row, leaving, member) {
                let cost = place_of(table.cost(row, leaving, member));
                count[cost] = count[cost].wrapping_add_signed(by);
            }
        }
    }
}

fn least_of(counts: &[u32; COSTS]) -> i8 {
    match counts {
        [0, 0, 0] => NONE,
        [0, 0, _] => 1,
        [0, ..] => 0,
        _ => -1,
    }
}
