//! The names of all checkpoints that a disk has taken.

use alloc::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamo_types::{ActorId, CheckpointName};

const VERSION: u8 = 1;

/// Processes that are remembered, 16 bytes each. A member that knows this node by a checkpoint of an
/// earlier one has not been met for so many restarts; the disk then counts as one that was set back,
/// which costs an exchange and loses nothing.
const PROCESSES_MAX: usize = 1024;

/// For each process that took checkpoints on a disk, oldest first, how many it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointNames {
    processes: VecDeque<(ActorId, u64)>,
}

impl CheckpointNames {
    /// Those of a disk on which this process is the first.
    #[must_use]
    pub fn of_process(process: ActorId) -> Self {
        Self { processes: VecDeque::from([(process, 0)]) }
    }

    /// Goes on with what earlier processes took.
    #[must_use]
    pub fn after(mut self, earlier: Self) -> Self {
        for process in earlier.processes.into_iter().rev() {
            if self.processes.len() < PROCESSES_MAX {
                self.processes.push_front(process);
            }
        }
        self
    }

    /// The name of the next checkpoint of this process.
    pub fn take(&mut self) -> CheckpointName {
        let (process, number) = self.processes.back_mut().expect("there is always this process");
        *number += 1;
        CheckpointName { process: *process, number: *number }
    }

    /// Whether this disk took it.
    #[must_use]
    pub fn contains(&self, name: CheckpointName) -> bool {
        let taken = |(process, number): &(ActorId, u64)| {
            CheckpointName { process: *process, number: *number }.includes(name)
        };
        self.processes.iter().any(taken)
    }

    /// The row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut row = BytesMut::with_capacity(1 + self.processes.len() * 16);
        row.put_u8(VERSION);
        for (process, number) in &self.processes {
            row.put_u64(process.0);
            row.put_u64(*number);
        }
        row.freeze()
    }

    /// What [`CheckpointNames::encode`] wrote; `None` if the row is not one of this version.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = row;
        if rest.try_get_u8().ok()? != VERSION || !rest.len().is_multiple_of(16) {
            return None;
        }
        let mut processes = VecDeque::with_capacity(rest.len() / 16);
        while rest.has_remaining() {
            processes.push_back((ActorId(rest.get_u64()), rest.get_u64()));
        }
        (1..=PROCESSES_MAX).contains(&processes.len()).then_some(Self { processes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_knows_what_its_processes_took_and_nothing_else() {
        let mut first = CheckpointNames::of_process(ActorId(1));
        let image = first.clone();
        let (one, two) = (first.take(), first.take());
        assert!(first.contains(one) && first.contains(two));
        let first = CheckpointNames::decode(&first.encode()).unwrap();
        let mut second = CheckpointNames::of_process(ActorId(2)).after(first);
        let three = second.take();
        assert!(second.contains(one) && second.contains(two) && second.contains(three));
        assert!(!second.contains(CheckpointName { process: ActorId(1), number: 3 }));
        let back = CheckpointNames::of_process(ActorId(3)).after(image);
        assert!(!back.contains(one) && !back.contains(three), "it was set back");
    }

    #[test]
    fn the_oldest_processes_are_forgotten_and_torn_rows_refused() {
        let mut names = CheckpointNames::of_process(ActorId(0));
        let oldest = names.take();
        for process in 1..=PROCESSES_MAX as u64 {
            names = CheckpointNames::of_process(ActorId(process)).after(names);
            names.take();
        }
        assert!(!names.contains(oldest));
        assert!(names.contains(CheckpointName { process: ActorId(1), number: 1 }));
        let row = names.encode();
        assert_eq!(CheckpointNames::decode(&row), Some(names));
        assert_eq!(CheckpointNames::decode(&row[..row.len() - 1]), None);
        assert_eq!(CheckpointNames::decode(&[]), None);
        assert_eq!(CheckpointNames::decode(&[VERSION]), None);
    }
}
