//! Chains of transfers, for when no direct one is allowed.
//!
//! With tight zones a member above its target may share no legal exchange with any member below. A
//! chain helps: one gives to a second in one row, the second to a third in another, and only the
//! ends change their number of copies. Such a chain exists as long as the table is not balanced: the
//! difference to any balanced table falls apart into chains and cycles.
//!
//! The shortest chain is always valid as a whole, also when two of its exchanges meet in one row.
//! Say i gives to j and later l gives to m in the same row. If the row had room for m's zone, i
//! could have given to m at once, and the chain were not the shortest. So m takes the place of one
//! of its own zone, which changes no count that the other exchange relies on.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::table::Table;

/// How a member was reached: the cheapest among the shortest chains.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Copies that the chain up to here adds to those to fetch.
    cost: i32,
    row: usize,
    from: usize,
}

/// Applies chains until every member holds its target and no place is vacant.
pub(super) fn settle(table: &mut Table<'_>) {
    while (0..=table.member_count()).any(|i| table.surplus(i) > 0) {
        let chain = shortest_chain(table);
        for (row, leaving, entering) in chain {
            assert!(
                table.may_replace(row, leaving, entering),
                "exchanges of a shortest chain do not hinder each other"
            );
            table.replace(row, leaving, entering);
        }
    }
    debug_assert_eq!(table.total_deficit(), 0, "surplus and deficit are equal in sum");
}

/// The exchanges of a shortest chain from a member above its target, or a vacancy, to one below.
fn shortest_chain(table: &Table<'_>) -> Vec<(usize, usize, usize)> {
    let count = table.member_count();
    // One more for the vacancy, which can only be a beginning.
    let mut reached: Vec<Option<Step>> = vec![None; count + 1];
    let mut is_start = vec![false; count + 1];
    let mut layer: Vec<usize> = (0..=count).filter(|i| table.surplus(*i) > 0).collect();
    for start in &layer {
        is_start[*start] = true;
    }
    loop {
        let mut next: Vec<Option<Step>> = vec![None; count];
        for &leaving in &layer {
            let so_far = reached[leaving].map_or(0, |step| step.cost);
            for row in table.rows_of(leaving) {
                for entering in 0..count {
                    if is_start[entering]
                        || reached[entering].is_some()
                        || !table.may_replace(row, leaving, entering)
                    {
                        continue;
                    }
                    let cost = so_far + table.cost(row, leaving, entering);
                    if next[entering].is_none_or(|step| cost < step.cost) {
                        next[entering] = Some(Step { cost, row, from: leaving });
                    }
                }
            }
        }
        layer = (0..count).filter(|i| next[*i].is_some()).collect();
        assert!(!layer.is_empty(), "an unbalanced table has a chain that improves it");
        for &member in &layer {
            reached[member] = next[member];
        }
        let end =
            layer.iter().copied().filter(|i| table.deficit(*i) > 0).min_by_key(|i| {
                (reached[*i].map(|step| step.cost), Reverse(table.deficit(*i)), *i)
            });
        if let Some(end) = end {
            return trace(&reached, end);
        }
    }
}

fn trace(reached: &[Option<Step>], end: usize) -> Vec<(usize, usize, usize)> {
    let mut chain = Vec::new();
    let mut entering = end;
    while let Some(step) = reached[entering] {
        chain.push((step.row, step.from, entering));
        entering = step.from;
    }
    chain
}
