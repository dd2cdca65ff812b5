//! Direct transfers: vacancies and surplus go to nodes below their target.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::table::Table;

/// Fills vacancies with members that are below their target, row by row.
///
/// The zone with most left to place for its capacity in a row goes first, and in it the member
/// with the largest deficit: as in the Havel-Hakimi construction, taking the most demanding first
/// leaves the fewest dead ends. Among equals the one that meets the others of the row least.
pub(super) fn fill_vacancies(table: &mut Table<'_>) {
    let vacant = table.vacant();
    let rows: Vec<usize> = table.rows_of(vacant).collect();
    let mut wanted = vec![0u32; table.zones().count()];
    for member in 0..table.member_count() {
        wanted[table.zones().of_member[member]] += table.deficit(member);
    }
    for row in rows {
        while table.is_in(row, vacant) {
            let Some(entering) = most_demanding(table, row, &wanted) else { break };
            table.replace(row, vacant, entering);
            wanted[table.zones().of_member[entering]] -= 1;
        }
    }
}

fn most_demanding(table: &Table<'_>, row: usize, wanted: &[u32]) -> Option<usize> {
    /// Divisible by every number of places that a zone can have in a row.
    const COMMON_MULTIPLE: u32 = 420;
    let zones = table.zones();
    let urgency = |zone: usize| {
        let capacity = zones.sizes[zone].min(zones.cap);
        u64::from(wanted[zone])
            * u64::from(COMMON_MULTIPLE / u32::try_from(capacity).expect("at most 7"))
    };
    let mut best = None;
    let mut best_rank = None;
    for member in 0..table.member_count() {
        let deficit = table.deficit(member);
        if deficit == 0 {
            continue;
        }
        let own = u64::from(deficit) * u64::from(COMMON_MULTIPLE);
        let demand = (urgency(zones.of_member[member]).max(own), deficit);
        if best_rank.is_some_and(|(least, _, _)| demand < least)
            || !table.may_replace(row, table.vacant(), member)
        {
            continue;
        }
        let closeness = table.closeness(row, table.vacant(), member);
        let rank = (demand, Reverse(closeness), table.lot(row, member));
        if best_rank.is_none_or(|best| rank > best) {
            best_rank = Some(rank);
            best = Some(member);
        }
    }
    best
}

/// Moves copies from members above their target to members below, as long as one step does it.
pub(super) fn give_surplus(table: &mut Table<'_>) {
    let members = 0..table.member_count();
    let mut stuck = vec![false; table.member_count()];
    loop {
        let neediest = members
            .clone()
            .filter(|i| !stuck[*i] && table.deficit(*i) > 0)
            .max_by_key(|i| (table.deficit(*i), Reverse(*i)));
        let Some(entering) = neediest else { break };
        let mut donors: Vec<usize> = members.clone().filter(|i| table.surplus(*i) > 0).collect();
        donors.sort_by_key(|i| (Reverse(table.surplus(*i)), *i));
        let transfer = donors.into_iter().find_map(|leaving| {
            let wanted = table.surplus(leaving).min(table.deficit(entering));
            let rows = best_rows(table, leaving, entering, wanted.div_ceil(LOOKS));
            (!rows.is_empty()).then_some((leaving, rows))
        });
        match transfer {
            Some((leaving, rows)) => {
                for row in rows {
                    table.replace(row, leaving, entering);
                }
            }
            None => stuck[entering] = true,
        }
    }
}

/// One look at a donor's rows gives away this part of what it has to give. To look anew for each copy
/// would take the square of its rows, seconds in a large ring on few nodes; to look once would bring
/// together all that met least when it began.
const LOOKS: u32 = 128;

/// The rows in which the exchange costs least and brings least met members together, the best first.
fn best_rows(table: &Table<'_>, leaving: usize, entering: usize, count: u32) -> Vec<usize> {
    let legal = table.rows_of(leaving).filter(|row| table.may_replace(*row, leaving, entering));
    let mut ranked: Vec<_> = legal.map(|row| (rank(table, row, leaving, entering), row)).collect();
    let count = count as usize;
    if count < ranked.len() {
        ranked.select_nth_unstable(count);
        ranked.truncate(count);
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, row)| row).collect()
}

/// The row in which the exchange costs least and brings least met members together.
pub(super) fn best_row(table: &Table<'_>, leaving: usize, entering: usize) -> Option<usize> {
    table
        .rows_of(leaving)
        .filter(|row| table.may_replace(*row, leaving, entering))
        .min_by_key(|row| rank(table, *row, leaving, entering))
}

/// The less the better: copies to fetch, how often the members met, and a lot.
fn rank(table: &Table<'_>, row: usize, leaving: usize, entering: usize) -> (i32, u32, u64) {
    let cost = table.cost(row, leaving, entering);
    (cost, table.closeness(row, leaving, entering), table.lot(row, entering))
}
