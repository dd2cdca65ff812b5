//! One process and its disk.

use std::collections::BTreeMap;
use std::fmt;

use dynamo_types::WallTime;
use dynamo_versioning::{Dot, DotClock, DotMint, DotSet, HybridClock, StoredRecord};

/// Whose record, and of which key: a member's own rows bear its own number, a fallback's that of
/// the member that they are meant for.
pub(super) type RowName = (usize, usize);

#[derive(Clone, Default)]
pub(super) struct Row {
    pub(super) stored: StoredRecord,
    /// A hint that counted as a copy, and may therefore not be dropped.
    pub(super) acknowledging: bool,
}

/// What one member knows of another's durable clock.
#[derive(Clone, Default)]
pub(super) struct Report {
    /// The last that was reported.
    pub(super) dots: DotSet,
    /// The names of all checkpoints that were.
    pub(super) checkpoints: DotSet,
}

/// What a disk holds at one moment.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) rows: BTreeMap<RowName, Row>,
    /// The dot clock at its last checkpoint.
    pub(super) checkpoint: DotClock,
    /// What the batches since then brought.
    pub(super) journal: DotClock,
    /// The mark of incomplete mode.
    pub(super) incomplete: bool,
    /// What each member reported to this one.
    pub(super) reports: Vec<Report>,
    /// The names of this node's own checkpoints: each has one, and so has each report of it.
    pub(super) checkpoints: DotSet,
    /// It went back in time, and its node has made no note of that.
    pub(super) rolled_back: bool,
    /// Keys whose record it lost, and its node has made no note of that.
    pub(super) unaware: [bool; super::KEYS],
}

/// How far an incomplete member is.
#[derive(Default)]
pub(super) struct Recovery {
    /// Members that it has exchanged with, as bits.
    pub(super) with: u8,
    /// Its horizon and the clocks of those that are complete, joined.
    pub(super) learned: DotClock,
}

impl Recovery {
    pub(super) fn begin(clock: &DotClock) -> Self {
        let learned = DotClock { dots: DotSet::new(), horizon: clock.horizon.clone() };
        Self { with: 0, learned }
    }
}

pub(super) struct Node {
    pub(super) mint: DotMint,
    pub(super) hybrid: HybridClock,
    /// The live clock; only a horizon in incomplete mode.
    pub(super) clock: DotClock,
    /// How many checkpoints this process has taken.
    pub(super) checkpoints: u64,
    pub(super) incomplete: bool,
    pub(super) recovery: Recovery,
    /// Versions that are obsolete here and will be answered so at the next sync.
    pub(super) obsolete: Vec<Dot>,
    /// Whether the disk holds anything that is not synced.
    pub(super) dirty: bool,
    /// The disk as this process sees it.
    pub(super) disk: Disk,
    /// The disk as it would be after a crash.
    pub(super) synced: Disk,
    /// An older image of the disk.
    pub(super) backup: Option<Disk>,
    /// How far this node's wall clock is ahead.
    pub(super) skew: u64,
}

impl Node {
    pub(super) fn new(mint: DotMint, members: usize, skew: u64) -> Self {
        let disk = Disk { reports: vec![Report::default(); members], ..Disk::default() };
        Self {
            mint,
            hybrid: HybridClock::new(),
            clock: DotClock::new(),
            checkpoints: 0,
            incomplete: false,
            recovery: Recovery::default(),
            obsolete: Vec::new(),
            dirty: false,
            synced: disk.clone(),
            disk,
            backup: None,
            skew,
        }
    }

    /// Takes its clock down, under a new name.
    pub(super) fn take_checkpoint(&mut self) {
        self.checkpoints += 1;
        self.disk.checkpoints.insert(Dot::new(self.mint.actor(), self.checkpoints));
        self.disk.checkpoint = self.clock.clone();
        self.disk.journal = DotClock::new();
        self.dirty = true;
    }

    /// What it judges messages by: its clock, or what an incomplete member has learned so far.
    pub(super) fn judges_by(&self) -> &DotClock {
        if self.incomplete { &self.recovery.learned } else { &self.clock }
    }

    /// The clock that makes its records state; an incomplete member's are none.
    pub(super) fn vouches(&self) -> Option<DotClock> {
        (!self.incomplete).then(|| self.clock.clone())
    }

    pub(super) fn wall(&self, now: u64) -> WallTime {
        WallTime(now + self.skew)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disk { rows, reports, incomplete, rolled_back, .. } = &self.disk;
        let DotClock { dots, horizon } = &self.clock;
        let reported: Vec<&DotSet> = reports.iter().map(|report| &report.dots).collect();
        writeln!(f, "clock {dots:?}, horizon {horizon:?}, told {reported:?}")?;
        if *incomplete || *rolled_back {
            writeln!(f, "      incomplete: {incomplete}, rolled back: {rolled_back}")?;
        }
        for ((member, key), Row { stored, acknowledging }) in rows {
            write!(f, "      member {member}, key {key}:")?;
            for sibling in stored.record.siblings() {
                let dead = if sibling.is_tombstone() { "T" } else { "" };
                write!(f, " {}{dead}", sibling.dot)?;
                if let Some(WallTime(at)) = sibling.expires_at {
                    write!(f, " until {at}")?;
                }
            }
            let (context, own) = (stored.record.context(), stored.own);
            writeln!(f, ", covers {context:?}, {own:?}, acknowledging: {acknowledging}")?;
        }
        Ok(())
    }
}
