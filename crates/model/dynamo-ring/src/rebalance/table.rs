//! The table that the solver works on: members by number, vacant places, and counts kept up to date.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use dynamo_types::{NodeId, PartitionCount, PartitionId, Replication};

use super::zones::Zones;
use crate::layout::Layout;
use crate::member::RingMember;
use crate::scatter::scatter;

/// One row of N places for each partition. A place holds the number of a member, or the number after
/// the last one: vacant, a member without zone and with target 0 that may be in a row several times.
#[derive(Debug)]
pub(super) struct Table<'a> {
    members: &'a [RingMember],
    zones: &'a Zones,
    width: usize,
    places: Vec<u16>,
    /// The rows as they were, vacant where a node is no member any more.
    before: Vec<u16>,
    targets: Vec<u32>,
    /// The rows that each member is in, and last those with a vacancy.
    rows_of: Vec<BTreeSet<u16>>,
    /// In how many rows two members are together: S x S, symmetric.
    together: Vec<u32>,
    vacancies: u32,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        old: Option<&Layout>,
        members: &'a [RingMember],
        zones: &'a Zones,
        replication: Replication,
        partition_count: PartitionCount,
    ) -> Self {
        let width = usize::from(replication.get());
        let vacant = number(members.len());
        let numbers: BTreeMap<NodeId, u16> =
            members.iter().enumerate().map(|(i, m)| (m.node, number(i))).collect();
        let before: Vec<u16> = match old {
            None => vec![vacant; width * partition_count.get() as usize],
            Some(old) => old
                .iter()
                .flat_map(|(_, set)| set)
                .map(|node| numbers.get(&node).copied().unwrap_or(vacant))
                .collect(),
        };
        let mut table = Self {
            members,
            zones,
            width,
            places: before.clone(),
            before,
            targets: vec![0; members.len()],
            rows_of: vec![BTreeSet::new(); members.len() + 1],
            together: vec![0; members.len() * members.len()],
            vacancies: 0,
        };
        for row in 0..table.row_count() {
            for place in 0..width {
                let member = table.row(row)[place];
                table.rows_of[usize::from(member)].insert(number(row));
                table.vacancies += u32::from(member == vacant);
                for earlier in 0..place {
                    table.count_together(member, table.row(row)[earlier], 1);
                }
            }
        }
        table
    }

    pub(super) fn set_targets(&mut self, targets: Vec<u32>) {
        self.targets = targets;
    }

    pub(super) fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// One copy less for one member, one more for another.
    pub(super) fn shift_target(&mut self, from: usize, to: usize) {
        self.targets[from] -= 1;
        self.targets[to] += 1;
    }

    /// All rows, one after the other.
    pub(super) fn places(&self) -> &[u16] {
        &self.places
    }

    pub(super) fn row_count(&self) -> usize {
        self.places.len() / self.width
    }

    /// N x Q.
    pub(super) fn place_count(&self) -> usize {
        self.places.len()
    }

    /// N.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn zones(&self) -> &Zones {
        self.zones
    }

    /// The number that stands for no member.
    pub(super) fn vacant(&self) -> usize {
        self.members.len()
    }

    pub(super) fn row(&self, row: usize) -> &[u16] {
        &self.places[row * self.width..][..self.width]
    }

    pub(super) fn row_before(&self, row: usize) -> &[u16] {
        &self.before[row * self.width..][..self.width]
    }

    /// The rows that a member, or vacancy, is in.
    pub(super) fn rows_of(&self, member: usize) -> impl Iterator<Item = usize> {
        self.rows_of[member].iter().copied().map(usize::from)
    }

    pub(super) fn held(&self, member: usize) -> u32 {
        u32::try_from(self.rows_of[member].len()).expect("at most Q rows")
    }

    /// Copies above the target, zero if none.
    pub(super) fn surplus(&self, member: usize) -> u32 {
        if member == self.vacant() {
            self.vacancies
        } else {
            self.held(member).saturating_sub(self.targets[member])
        }
    }

    /// Copies below the target, zero if none.
    pub(super) fn deficit(&self, member: usize) -> u32 {
        if member == self.vacant() {
            0
        } else {
            self.targets[member].saturating_sub(self.held(member))
        }
    }

    pub(super) fn total_deficit(&self) -> u32 {
        (0..self.members.len()).map(|i| self.deficit(i)).sum()
    }

    pub(super) fn is_in(&self, row: usize, member: usize) -> bool {
        self.row(row).contains(&number(member))
    }

    pub(super) fn was_in(&self, row: usize, member: usize) -> bool {
        self.row_before(row).contains(&number(member))
    }

    /// Whether the row stays a legal one when one leaves and the other enters: distinct nodes, and
    /// no zone above its cap.
    pub(super) fn may_replace(&self, row: usize, leaving: usize, entering: usize) -> bool {
        let zone = self.zones.of_member[entering];
        let mut in_zone = 0;
        for &place in self.row(row) {
            let member = usize::from(place);
            if member == entering {
                return false;
            }
            if member != leaving && member != self.vacant() && self.zones.of_member[member] == zone
            {
                in_zone += 1;
            }
        }
        in_zone < self.zones.cap
    }

    /// Copies that the replacement adds to those that have to be fetched: -1, 0 or 1.
    pub(super) fn cost(&self, row: usize, leaving: usize, entering: usize) -> i32 {
        let undone = leaving != self.vacant() && !self.was_in(row, leaving);
        i32::from(!self.was_in(row, entering)) - i32::from(undone)
    }

    /// The same for a member that was not in the row before.
    pub(super) fn cost_of_new(&self, row: usize, leaving: usize) -> i32 {
        let undone = leaving != self.vacant() && !self.was_in(row, leaving);
        1 - i32::from(undone)
    }

    /// The zones of which nobody may enter a row in this one's place; some more than once.
    pub(super) fn full_zones_without(
        &self,
        row: usize,
        leaving: usize,
    ) -> impl Iterator<Item = usize> {
        let others = self.row(row).iter().map(|m| usize::from(*m));
        let others = others.filter(move |m| *m != leaving && *m != self.vacant());
        let zones = others.map(|m| self.zones.of_member[m]);
        let all = zones.clone();
        zones
            .filter(move |zone| all.clone().filter(|other| other == zone).count() >= self.zones.cap)
    }

    /// How often the entering member already meets those that it would join in this row.
    pub(super) fn closeness(&self, row: usize, leaving: usize, entering: usize) -> u32 {
        self.row(row)
            .iter()
            .map(|place| usize::from(*place))
            .filter(|member| *member != leaving && *member != self.vacant())
            .map(|member| self.together[member * self.members.len() + entering])
            .sum()
    }

    /// Decides between equals, differently in each row.
    pub(super) fn lot(&self, row: usize, member: usize) -> u64 {
        scatter(PartitionId(number(row)), self.members[member].node)
    }

    /// One member, or vacancy, leaves a row and another takes its place.
    pub(super) fn replace(&mut self, row: usize, leaving: usize, entering: usize) {
        let place = self.row(row).iter().position(|p| usize::from(*p) == leaving);
        let place = row * self.width + place.expect("who leaves is there");
        for other in 0..self.width {
            let other = self.row(row)[other];
            if usize::from(other) != leaving {
                self.count_together(number(leaving), other, -1);
                self.count_together(number(entering), other, 1);
            }
        }
        self.places[place] = number(entering);
        if !self.is_in(row, leaving) {
            self.rows_of[leaving].remove(&number(row));
        }
        self.rows_of[entering].insert(number(row));
        self.vacancies -= u32::from(leaving == self.vacant());
        self.vacancies += u32::from(entering == self.vacant());
    }

    /// Makes room where a zone has more of a row than it may: the members with most to give leave.
    /// Returns whether there was such a row.
    pub(super) fn vacate_crowded_zones(&mut self) -> bool {
        let mut found = false;
        for row in 0..self.row_count() {
            while let Some(crowded) = self.crowded_zone(row) {
                let leaving = self
                    .row(row)
                    .iter()
                    .map(|place| usize::from(*place))
                    .filter(|m| *m != self.vacant() && self.zones.of_member[*m] == crowded)
                    .max_by_key(|m| {
                        (i64::from(self.held(*m)) - i64::from(self.targets[*m]), self.lot(row, *m))
                    })
                    .expect("a crowded zone has members in the row");
                self.replace(row, leaving, self.vacant());
                found = true;
            }
        }
        found
    }

    /// Copies that were not there before.
    pub(super) fn moved(&self) -> u32 {
        let fresh =
            |row: usize| self.row(row).iter().filter(|p| !self.row_before(row).contains(p)).count();
        let moved: usize = (0..self.row_count()).map(fresh).sum();
        u32::try_from(moved).expect("at most N x Q")
    }

    fn crowded_zone(&self, row: usize) -> Option<usize> {
        let zone_of = |place: &u16| self.zones.of_member.get(usize::from(*place)).copied();
        let in_zone =
            |zone: usize| self.row(row).iter().filter(|p| zone_of(p) == Some(zone)).count();
        self.row(row).iter().filter_map(zone_of).find(|zone| in_zone(*zone) > self.zones.cap)
    }

    fn count_together(&mut self, a: u16, b: u16, by: i32) {
        let (a, b, members) = (usize::from(a), usize::from(b), self.members.len());
        if a < members && b < members {
            for pair in [a * members + b, b * members + a] {
                self.together[pair] = self.together[pair].wrapping_add_signed(by);
            }
        }
    }
}

/// Members and rows by number: there are at most 2,048 and 65,536 of them.
pub(super) fn number(index: usize) -> u16 {
    u16::try_from(index).expect("members and partitions are numbered in 16 bits")
}
