//! What tells one state of a disk from another.

use core::fmt;

use crate::identity::ActorId;

/// Names a checkpoint of a node: the process that took it, and how many that process had taken by
/// then. No two checkpoints of a cluster have the same name, also not those that were taken before
/// and after a disk was set back.
///
/// Members remember under which checkpoint another one reported its clock last. A disk that has not
/// taken it is not the disk that it was then: its node has been rolled back (protocol rule 4, history
/// 11). Dots would not tell: they come back with messages, and what they had replaced does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointName {
    /// The process.
    pub process: ActorId,
    /// Which of its checkpoints, from 1.
    pub number: u64,
}

impl CheckpointName {
    /// Whether a disk that has taken this checkpoint has taken that one too, as far as these two
    /// names tell.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.process == other.process && self.number >= other.number
    }
}

impl fmt::Debug for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {:016x}:{}", self.process.0, self.number)
    }
}
