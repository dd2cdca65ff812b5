//! Zones by number, and how many replicas of one set a zone may hold.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use dynamo_types::Replication;

use crate::member::{RingMember, Zone};

/// The zones of the members.
#[derive(Debug)]
pub(super) struct Zones {
    /// The zone of each member.
    pub(super) of_member: Vec<usize>,
    /// How many members each zone has.
    pub(super) sizes: Vec<usize>,
    /// The smallest number of replicas per zone and set that lets N of them find a place:
    /// ceil(N / zones), more only if some zones have too few nodes.
    pub(super) cap: usize,
}

impl Zones {
    pub(super) fn of(members: &[RingMember], replication: Replication) -> Self {
        let mut numbers: BTreeMap<&Zone, usize> = members.iter().map(|m| (&m.zone, 0)).collect();
        for (number, place) in numbers.values_mut().enumerate() {
            *place = number;
        }
        let of_member: Vec<usize> = members.iter().map(|m| numbers[&m.zone]).collect();
        let mut sizes = vec![0; numbers.len()];
        for zone in &of_member {
            sizes[*zone] += 1;
        }
        let needed = usize::from(replication.get());
        let cap = (1..=needed)
            .find(|cap| sizes.iter().map(|size| size.min(cap)).sum::<usize>() >= needed)
            .expect("there are at least N members");
        Self { of_member, sizes, cap }
    }

    pub(super) fn count(&self) -> usize {
        self.sizes.len()
    }
}
