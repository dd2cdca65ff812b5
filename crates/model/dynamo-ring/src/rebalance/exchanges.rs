//! Which member could hand a copy to which other, and what that costs: one count for each pair, so
//! that a search over members need not look at partitions.

use alloc::vec;
use alloc::vec::Vec;

use super::table::Table;

/// The three costs of an exchange: -1, 0 and 1 copies to fetch.
const COSTS: usize = 3;

/// For each pair (leaving, entering) and each cost, in how many rows the exchange is legal.
#[derive(Debug)]
pub(super) struct Exchanges {
    member_count: usize,
    counts: Vec<[u32; COSTS]>,
}

impl Exchanges {
    pub(super) fn of(table: &Table<'_>) -> Self {
        let member_count = table.member_count();
        // The vacancy can leave, but not enter.
        let counts = vec![[0; COSTS]; (member_count + 1) * member_count];
        let mut exchanges = Self { member_count, counts };
        for row in 0..table.row_count() {
            exchanges.count(table, row, 1);
        }
        exchanges
    }

    /// The least cost at which `leaving` could hand a copy to `entering`.
    pub(super) fn least_cost(&self, leaving: usize, entering: usize) -> Option<i32> {
        let counts = &self.counts[leaving * self.member_count + entering];
        [-1, 0, 1].into_iter().zip(counts).find(|(_, count)| **count > 0).map(|(cost, _)| cost)
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
        table.replace(row, leaving, entering);
        self.count(table, row, 1);
    }

    fn count(&mut self, table: &Table<'_>, row: usize, by: i32) {
        let places = table.row(row);
        for (place, leaving) in places.iter().enumerate() {
            // Several vacancies of one row are one possibility.
            if places[..place].contains(leaving) {
                continue;
            }
            let leaving = usize::from(*leaving);
            for entering in 0..self.member_count {
                if table.may_replace(row, leaving, entering) {
                    let cost = usize::try_from(table.cost(row, leaving, entering) + 1);
                    let cost = cost.expect("a cost is -1, 0 or 1");
                    let count = &mut self.counts[leaving * self.member_count + entering][cost];
                    *count = count.wrapping_add_signed(by);
                }
            }
        }
    }
}
