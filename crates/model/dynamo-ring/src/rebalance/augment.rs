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

use super::exchanges::{Exchanges, NONE};
use super::shares::Share;
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

/// Applies the chains that need no copy to be fetched: after members had to leave rows with a crowded
/// zone, some may return in exchange for others. Transfers that cost come later, or they would take
/// the places of these.
pub(super) fn settle_free(table: &mut Table<'_>) {
    if !is_unsettled(table) {
        return;
    }
    let mut exchanges = Exchanges::of(table);
    loop {
        let chains = find_chains(&Ends::unsettled(table), &exchanges, Prefer::Cheap);
        if chains.first().is_none_or(|chain| chain.cost > 0)
            || !try_chains(table, &mut exchanges, &chains)
        {
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
        let ends = Ends::unsettled(table);
        let cheap = find_chains(&ends, &exchanges, Prefer::Cheap);
        if !try_chains(table, &mut exchanges, &cheap) {
            let short = find_chains(&ends, &exchanges, Prefer::Short);
            let chain = short.first().expect("an unbalanced table has a chain that improves it");
            let done = try_chain(table, &mut exchanges, &chain.steps).is_some();
            assert!(done, "exchanges of a shortest chain do not hinder each other");
        }
    }
    debug_assert_eq!(table.total_deficit(), 0, "surplus and deficit are equal in sum");
}

/// Rounds other shares up where that saves copies: chains that cost less than nothing from members
/// whose share was rounded up to members whose share was rounded down. Needed only where full zones or
/// full members make one rounding dearer than another, so it asks for a settled table that is known
/// not to be the best.
pub(super) fn settle_rounding(table: &mut Table<'_>, shares: &[Share]) {
    let mut exchanges = Exchanges::of(table);
    loop {
        let ends = Ends::rounded(table, shares);
        let chains = find_chains(&ends, &exchanges, Prefer::Cheap);
        let Some(chain) = chains.first().filter(|chain| chain.cost < 0) else { break };
        if try_chain(table, &mut exchanges, &chain.steps).is_none() {
            break;
        }
        table.shift_target(chain.giver(), chain.taker());
    }
}

fn is_unsettled(table: &Table<'_>) -> bool {
    (0..=table.member_count()).any(|i| table.surplus(i) > 0)
}

/// Where chains may begin and end.
struct Ends {
    /// Members that may hold one copy less, and last the vacancy.
    gives: Vec<bool>,
    /// How much members need one copy more, 0 if they may not have it.
    takes: Vec<u32>,
}

impl Ends {
    /// Chains towards the targets.
    fn unsettled(table: &Table<'_>) -> Self {
        let count = table.member_count();
        Self {
            gives: (0..=count).map(|i| table.surplus(i) > 0).collect(),
            takes: (0..count).map(|i| table.deficit(i)).collect(),
        }
    }

    /// Chains that round other shares up.
    fn rounded(table: &Table<'_>, shares: &[Share]) -> Self {
        let is_up = |i: usize| table.targets()[i] > shares[i].floor();
        let members = 0..table.member_count();
        let gives = members.clone().map(|i| shares[i].has_rest() && is_up(i));
        Self {
            gives: gives.chain([false]).collect(),
            takes: members.map(|i| u32::from(shares[i].has_rest() && !is_up(i))).collect(),
        }
    }
}

/// Exchanges from a member above its target, or a vacancy, to a member below.
struct Chain {
    cost: i32,
    /// (leaving, entering), the last one first.
    steps: Vec<(usize, usize)>,
}

impl Chain {
    fn giver(&self) -> usize {
        self.steps.last().expect("a chain has steps").0
    }

    fn taker(&self) -> usize {
        self.steps.first().expect("a chain has steps").1
    }
}

/// The best chains, one for each end, the best one first; all of them cost the same. None if there is
/// nothing to do, or if costs run in a circle, which only [`Prefer::Cheap`] can see.
fn find_chains(ends: &Ends, exchanges: &Exchanges, prefer: Prefer) -> Vec<Chain> {
    let count = ends.takes.len();
    // The cost of the best chain to each member, how long it is and who is before. A chain that
    // begins at a member costs nothing up to there, and is only beaten by one that saves copies. A
    // later one is longer, so it has to cost less.
    let mut costs: Vec<i32> = vec![i32::MAX; count];
    let mut ways: Vec<Option<(usize, usize)>> = vec![None; count];
    for start in (0..count).filter(|i| ends.gives[*i]) {
        costs[start] = 0;
    }
    let mut active: Vec<usize> = (0..=count).filter(|i| ends.gives[*i]).collect();
    for length in 1..=count {
        let before = costs.clone();
        let mut improved = vec![false; count];
        for leaving in active {
            // The vacancy, which nobody hands on to, is the only one without a cost.
            let so_far = before.get(leaving).copied().unwrap_or(0);
            for (entering, least) in exchanges.least_costs(leaving).iter().enumerate() {
                let cost = if prefer == Prefer::Cheap { so_far + i32::from(*least) } else { 0 };
                if cost < costs[entering] && *least != NONE {
                    costs[entering] = cost;
                    ways[entering] = Some((length, leaving));
                    improved[entering] = true;
                }
            }
        }
        active = (0..count).filter(|i| improved[*i]).collect();
        if active.is_empty() {
            break;
        }
    }
    let mut reached: Vec<_> = (0..count)
        .filter(|i| ends.takes[*i] > 0)
        .filter_map(|i| ways[i].map(|(length, _)| (costs[i], length, Reverse(ends.takes[i]), i)))
        .collect();
    reached.sort_unstable();
    let least = reached.first().map(|(cost, ..)| *cost);
    reached
        .into_iter()
        .take_while(|(cost, ..)| Some(*cost) == least)
        .map_while(|(cost, _, _, end)| Some(Chain { cost, steps: steps_to(end, &ways)? }))
        .collect()
}

/// The way to an end, the last step first; none if it runs in a circle.
fn steps_to(end: usize, ways: &[Option<(usize, usize)>]) -> Option<Vec<(usize, usize)>> {
    let (mut steps, mut entering) = (Vec::new(), end);
    while let Some((_, leaving)) = ways.get(entering).copied().flatten() {
        steps.push((leaving, entering));
        entering = leaving;
        if steps.len() > ways.len() {
            return None;
        }
    }
    Some(steps)
}

/// Applies chains that were found together, each as often as it is of use. All after the first must
/// still cost what they did when they were found: then each is a cheapest one in its turn, for
/// chains only grow dearer. Returns whether the first could be applied.
fn try_chains(table: &mut Table<'_>, exchanges: &mut Exchanges, chains: &[Chain]) -> bool {
    let mut is_first = true;
    for chain in chains {
        while table.surplus(chain.giver()) > 0 && table.deficit(chain.taker()) > 0 {
            let Some(done) = try_chain(table, exchanges, &chain.steps) else { break };
            if !is_first && done.cost != chain.cost {
                take_back(table, exchanges, done.exchanges);
                break;
            }
            is_first = false;
        }
        if is_first {
            return false;
        }
    }
    !is_first
}

/// A chain in the table.
struct Applied {
    cost: i32,
    /// (row, leaving, entering), in the order in which they were made.
    exchanges: Vec<(usize, usize, usize)>,
}

/// Applies a chain, all of it or nothing.
fn try_chain(
    table: &mut Table<'_>,
    exchanges: &mut Exchanges,
    steps: &[(usize, usize)],
) -> Option<Applied> {
    let mut applied = Applied { cost: 0, exchanges: Vec::new() };
    for &(leaving, entering) in steps {
        let Some(row) = best_row(table, leaving, entering) else {
            take_back(table, exchanges, applied.exchanges);
            return None;
        };
        applied.cost += table.cost(row, leaving, entering);
        exchanges.replace(table, row, leaving, entering);
        applied.exchanges.push((row, leaving, entering));
    }
    Some(applied)
}

fn take_back(table: &mut Table<'_>, exchanges: &mut Exchanges, made: Vec<(usize, usize, usize)>) {
    for (row, leaving, entering) in made.into_iter().rev() {
        exchanges.replace(table, row, entering, leaving);
    }
}
