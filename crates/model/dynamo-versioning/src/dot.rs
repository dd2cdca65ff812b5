//! Dots and the counters that mint them.

use core::fmt;

use dynamo_types::ActorId;

/// The name of one version: which process start made it, and the number that it gave it.
///
/// Ordered by actor, then counter. Counters begin at 1; a counter of 0 names no version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The process start that coordinated the put.
    pub actor: ActorId,
    /// Its number among all versions that this actor made in the partition, from 1.
    pub counter: u64,
}

impl Dot {
    /// The dot of an actor's `counter`-th version.
    #[must_use]
    pub fn new(actor: ActorId, counter: u64) -> Self {
        Self { actor, counter }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.counter)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Mints the dots of one process in one partition.
///
/// It lives in memory as long as the process does, also while the node is no member of the
/// partition: a counter that began again at 1 would use dots twice. All keys of the partition share
/// it.
#[derive(Debug)]
pub struct DotMint {
    actor: ActorId,
    last: u64,
    floor: u64,
}

impl DotMint {
    /// A mint that has made nothing yet. `actor` must be new: drawn at random by this process.
    #[must_use]
    pub fn new(actor: ActorId) -> Self {
        Self { actor, last: 0, floor: 0 }
    }

    /// Whose dots these are.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.actor
    }

    /// The last counter that was given out, 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next dot, never given out before.
    #[expect(clippy::should_implement_trait, reason = "a mint never ends, so it is no iterator")]
    pub fn next(&mut self) -> Dot {
        self.last = self.last.checked_add(1).expect("2^64 versions outlast any process");
        Dot { actor: self.actor, counter: self.last }
    }

    /// No interval that ends at or below this counter may be extended.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Forbids extending any interval that exists now. To be called when a store that carried an
    /// own dot failed, was abandoned or is unconfirmed, when a record was found damaged, and when
    /// this node's role in the partition changed: the process may then have minted a dot that its
    /// own rows do not show (protocol rule 1).
    pub fn raise_floor(&mut self) {
        self.floor = self.last;
    }
}
