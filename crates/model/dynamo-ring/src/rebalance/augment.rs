//! Chains of transfers, for when no direct one is allowed.
//!
//! With tight zones a member above its target may share no legal exchange with any member below. A
//! chain helps: one gives to a second in one row, the second to a third in another, and only the
//! ends change their number of copies. Such a chain exists as long as the table is not balanced: the
//! difference to any balanced table falls apart into chains and cycles.
//!
//! Of all chains the one is taken that adds least to the copies to fetch, and of those the
//! shortest. This is the method of successive shortest paths for a flow of least cost: the table of
//! before has cost 0, so no cycle of exchanges can lower its cost, and a cheapest chain keeps that
//! so. Then the exchanges of a chain do not hinder each other either. Say i gives to j and later l
//! gives to m in the same row: if the row had room for m's zone, i could have given to m at once
//! and l to j, for the same cost, so the rest is a chain with a cycle too many. What heuristics
//! before this step may have spoilt is caught by trying: a chain that does not work as a whole
//! is taken back, and a shortest one, which always works, takes its place.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::exchanges::Exchanges;
use super::table::Table;
use super::transfer::best_row;

/// What makes a chain the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefer {
    /// Copies to fetch, then length.
    Cheap,
    /// Length alone.
    Short,
}

/// How a member was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reached {
    /// Copies that the chain up to here adds to those to fetch.
    cost: i32,
    length: usize,
    from: usize,
}

/// Applies the chains that need no copy to be fetched: after members had to leave rows with a crowded
/// zone, some may return in exchange for others. Transfers that cost come later, or they would take
/// the places of these.
pub(super) fn settle_free(table: &mut Table<'_>) {
    if !is_unsettled(table) {
        return;
    }
    let mut exchanges = Exchanges::of(table);
    while let Some(chain) = find_chain(table, &exchanges, Prefer::Cheap) {
        if chain.cost > 0 || !try_chain(table, &mut exchanges, &chain.steps) {
            break;
        }
    }
}

/// Applies chains until every member holds its target and no place is vacant.
pub(super) fn settle(table: &mut Table<'_>) {
    if !is_unsettled(table) {
        return;
    }
    let mut exchanges = Exchanges::of(table);
    while is_unsettled(table) {
        let done = find_chain(table, &exchanges, Prefer::Cheap)
            .is_some_and(|chain| try_chain(table, &mut exchanges, &chain.steps));
        if !done {
            let chain = find_chain(table, &exchanges, Prefer::Short);
            let chain = chain.expect("an unbalanced table has a chain that improves it");
            let done = try_chain(table, &mut exchanges, &chain.steps);
            assert!(done, "exchanges of a shortest chain do not hinder each other");
        }
    }
    debug_assert_eq!(table.total_deficit(), 0, "surplus and deficit are equal in sum");
}

fn is_unsettled(table: &Table<'_>) -> bool {
    (0..=table.member_count()).any(|i| table.surplus(i) > 0)
}

/// Exchanges from a member above its target, or a vacancy, to a member below.
struct Chain {
    cost: i32,
    /// (leaving, entering), the last one first.
    steps: Vec<(usize, usize)>,
}

/// The best chain. None if there is nothing to do, or if costs run in a circle, which only
/// [`Prefer::Cheap`] can see.
fn find_chain(table: &Table<'_>, exchanges: &Exchanges, prefer: Prefer) -> Option<Chain> {
    let count = table.member_count();
    let is_start: Vec<bool> = (0..=count).map(|i| table.surplus(i) > 0).collect();
    let mut best: Vec<Option<Reached>> = vec![None; count];
    let mut active: Vec<usize> = (0..=count).filter(|i| is_start[*i]).collect();
    for length in 1..=count {
        let mut improved = vec![false; count];
        let before = best.clone();
        for leaving in active {
            let so_far = before.get(leaving).copied().flatten().map_or(0, |r| r.cost);
            for entering in (0..count).filter(|i| !is_start[*i]) {
                let Some(cost) = exchanges.least_cost(leaving, entering) else { continue };
                let cost = if prefer == Prefer::Cheap { so_far + cost } else { 0 };
                let reached = Reached { cost, length, from: leaving };
                if best[entering].is_none_or(|other| reached < other) {
                    best[entering] = Some(reached);
                    improved[entering] = true;
                }
            }
        }
        active = (0..count).filter(|i| improved[*i]).collect();
        if active.is_empty() {
            break;
        }
    }
    let end = (0..count)
        .filter(|i| table.deficit(*i) > 0)
        .filter_map(|i| best[i].map(|r| (r.cost, r.length, Reverse(table.deficit(i)), i)))
        .min()?;
    let (cost, _, _, mut entering) = end;
    let mut steps = Vec::new();
    while !is_start[entering] {
        let leaving = best[entering]?.from;
        steps.push((leaving, entering));
        entering = leaving;
        if steps.len() > count {
            return None;
        }
    }
    Some(Chain { cost, steps })
}

/// Applies a chain, all of it or nothing.
fn try_chain(table: &mut Table<'_>, exchanges: &mut Exchanges, steps: &[(usize, usize)]) -> bool {
    let mut done = Vec::new();
    for &(leaving, entering) in steps {
        let Some(row) = best_row(table, leaving, entering) else {
            for (row, leaving, entering) in done.into_iter().rev() {
                exchanges.replace(table, row, entering, leaving);
            }
            return false;
        };
        exchanges.replace(table, row, leaving, entering);
        done.push((row, leaving, entering));
    }
    true
}
