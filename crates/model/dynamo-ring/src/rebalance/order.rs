//! The order within sets: every node is the preferred one equally often.
//!
//! Which replica comes first moves no data, but decides who coordinates by default. A node that
//! holds c copies is first in the floor or ceiling of c / N of its sets, which is always possible.
//! A set keeps its first replica where it can.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use super::table::{Table, number};

/// The rows of the table, each rotated so that the right replica is first.
pub(super) fn order(table: &Table<'_>) -> Vec<u16> {
    let mut firsts = Firsts::new(table);
    firsts.settle();
    let mut rows = Vec::with_capacity(table.row_count() * table.width());
    for (row, first) in firsts.chosen.iter().enumerate() {
        let members = table.row(row);
        let place = members.iter().position(|m| m == first).expect("the first is a member");
        rows.extend_from_slice(&members[place..]);
        rows.extend_from_slice(&members[..place]);
    }
    rows
}

struct Firsts<'a> {
    table: &'a Table<'a>,
    chosen: Vec<u16>,
    /// The rows in which each member is first.
    rows_of: Vec<BTreeSet<usize>>,
}

impl<'a> Firsts<'a> {
    /// The first replica of before if it is still there, else the member that misses most of its
    /// share.
    fn new(table: &'a Table<'a>) -> Self {
        let kept: Vec<Option<u16>> = (0..table.row_count())
            .map(|row| {
                let before = table.row_before(row)[0];
                table.row(row).contains(&before).then_some(before)
            })
            .collect();
        // Copies held, less N for each set in which the member is first: the share is met at 0.
        let mut missing: Vec<i64> =
            (0..table.member_count()).map(|i| i64::from(table.held(i))).collect();
        let width = i64::try_from(table.width()).expect("at most 7");
        for first in kept.iter().flatten() {
            missing[usize::from(*first)] -= width;
        }
        let mut firsts = Self {
            table,
            chosen: Vec::with_capacity(kept.len()),
            rows_of: vec![BTreeSet::new(); table.member_count()],
        };
        for (row, kept) in kept.into_iter().enumerate() {
            let first = kept.unwrap_or_else(|| {
                let most = table.row(row).iter().copied().max_by_key(|m| missing[usize::from(*m)]);
                let most = most.expect("rows are not empty");
                missing[usize::from(most)] -= width;
                most
            });
            firsts.chosen.push(first);
            firsts.rows_of[usize::from(first)].insert(row);
        }
        firsts
    }

    fn count(&self, member: usize) -> usize {
        self.rows_of[member].len()
    }

    fn floor(&self, member: usize) -> usize {
        self.table.held(member) as usize / self.table.width()
    }

    fn ceiling(&self, member: usize) -> usize {
        (self.table.held(member) as usize).div_ceil(self.table.width())
    }

    /// Hands firsts along shortest chains, first from those above their ceiling, then to those below
    /// their floor. Equal shares of every set solve this in fractions, so integers solve it too.
    fn settle(&mut self) {
        while self.hand_on(|f, i| f.count(i) > f.ceiling(i), |f, i| f.count(i) < f.ceiling(i)) {}
        while self.hand_on(|f, i| f.count(i) > f.floor(i), |f, i| f.count(i) < f.floor(i)) {}
    }

    /// One chain from a member that may give to one that may take, if there is one.
    fn hand_on(
        &mut self,
        gives: impl Fn(&Self, usize) -> bool,
        takes: impl Fn(&Self, usize) -> bool,
    ) -> bool {
        let members = 0..self.rows_of.len();
        let mut queue: VecDeque<usize> = members.clone().filter(|i| gives(self, *i)).collect();
        let mut seen: Vec<bool> = members.map(|i| gives(self, i)).collect();
        let mut reached: Vec<Option<(usize, usize)>> = vec![None; seen.len()];
        while let Some(from) = queue.pop_front() {
            for &row in &self.rows_of[from] {
                for to in self.table.row(row).iter().copied().map(usize::from) {
                    if seen[to] {
                        continue;
                    }
                    seen[to] = true;
                    reached[to] = Some((row, from));
                    if takes(self, to) {
                        self.apply(&reached, to);
                        return true;
                    }
                    queue.push_back(to);
                }
            }
        }
        false
    }

    fn apply(&mut self, reached: &[Option<(usize, usize)>], end: usize) {
        let mut to = end;
        while let Some((row, from)) = reached[to] {
            self.rows_of[from].remove(&row);
            self.rows_of[to].insert(row);
            self.chosen[row] = number(to);
            to = from;
        }
    }
}
