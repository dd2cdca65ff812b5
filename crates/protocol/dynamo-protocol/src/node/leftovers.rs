//! What this node still holds of partitions that are no longer its own: offered, then wiped (protocol
//! rule 8, history 20).
//!
//! A former member that was given up, a joiner whose move was cancelled, a node whose set lost against a
//! force: what they hold may be there and nowhere else. Page by page it goes to a member as delayed, which
//! takes what it has not seen and refuses what was collected. Only when all was taken is it wiped. A
//! leaver that every new member has compared with has nothing left to offer.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use bytes::Bytes;
use dynamo_messages::{OperationId, WriteOutcome};
use dynamo_repair::budget::Work;
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId, PartitionId};
use dynamo_versioning::StoredRecord;

use super::Node;
use crate::effect::{Column, Effect, ScanId};
use crate::event::ScannedRow;
use crate::rows;

/// Rows of a page.
const ROWS_MAX: u32 = 64;
/// Bytes of a page: what is under way to one member at once.
const BYTES_MAX: u32 = 1 << 20;
/// How long a page may take until it is offered to another member.
const PATIENCE: Duration = Duration::from_secs(5);

/// A partition that is being offered.
#[derive(Debug)]
pub(super) struct Sweep {
    partition: PartitionId,
    target: NodeId,
    scan: Option<ScanId>,
    /// What the target has not taken yet: at most a page's siblings.
    open: BTreeSet<OperationId>,
    /// The last row of the page.
    reached: Option<Bytes>,
    is_last: bool,
    since: Instant,
}

impl Node {
    /// Goes on with what is left over, if anything is.
    pub(super) fn sweep_leftovers(&mut self) {
        let now = self.now.monotonic;
        if let Some(sweep) = &self.sweep {
            let is_late = now.saturating_since(sweep.since) >= PATIENCE;
            let is_left_over = self.replica.leftovers().contains(&sweep.partition);
            if !is_late && is_left_over {
                return;
            }
            self.sweep = None;
        }
        let handed_over: Vec<PartitionId> = self.moves.handed_over.iter().copied().collect();
        for id in handed_over {
            if self.replica.leftovers().contains(&id) && self.is_all_stored(id) {
                self.replica.wipe(id);
            }
        }
        // In turn, so that one that nobody can take now holds up no other.
        let handed_over = &self.moves.handed_over;
        let waits = |id: &&PartitionId| {
            !handed_over.contains(id) && !self.is_parting(**id) && self.is_all_stored(**id)
        };
        let left = self.replica.leftovers();
        let behind = (Bound::Excluded(self.moves.swept_last), Bound::Unbounded);
        let next = left.range(behind).find(waits).or_else(|| left.iter().find(waits)).copied();
        if let Some(id) = next {
            self.moves.swept_last = id;
            self.moves.sweeps += 1;
            let behind = self.moves.swept.get(&id).cloned();
            self.offer_page(id, behind);
        }
    }

    /// Whether the register that this node is outside by is synced, and all that was written under earlier
    /// ones: only then does a scan see everything, and a crash not bring the old register back.
    fn is_all_stored(&self, id: PartitionId) -> bool {
        self.registers.is_synced(id) && self.replica.is_at_rest(id)
    }

    fn offer_page(&mut self, id: PartitionId, behind: Option<Bytes>) {
        self.sweep = None;
        if !self.has_background_room(Work::Upkeep) {
            // Where it stands is known.
            return self.go_on_with_room();
        }
        // Joiners wait with what is delayed. Another one each time: one may be full or incomplete.
        let members = self.ranked(self.registers.read_set(id).iter());
        let place = self.moves.sweeps % members.len().max(1);
        let Some(target) = members.get(place).copied() else { return };
        let (first, to) = rows::partition_range(self.registers.count(), id);
        let from = behind.map_or(first, |row| rows::behind(&row));
        let scan = ScanId(self.replica.next_load().0);
        self.sweep = Some(Sweep {
            partition: id,
            target,
            scan: Some(scan),
            open: BTreeSet::new(),
            reached: None,
            is_last: false,
            since: self.now.monotonic,
        });
        let (column, rows_max, bytes_max) = (Column::Objects, ROWS_MAX, BYTES_MAX);
        self.effects.push_back(Effect::Scan { scan, column, from, to, rows_max, bytes_max });
    }

    /// A page was read. Says whether the scan was one of what is left over.
    pub(super) fn leftovers_scanned(
        &mut self,
        scan: ScanId,
        rows: &[ScannedRow],
        end: bool,
        failed: bool,
    ) -> bool {
        let Some(mut sweep) = self.sweep.take_if(|sweep| sweep.scan == Some(scan)) else {
            return false;
        };
        if failed {
            self.counters.loads_failed += 1;
            return true;
        }
        self.spend(Work::Upkeep, u32::try_from(rows.len()).unwrap_or(u32::MAX));
        sweep.scan = None;
        sweep.is_last = end;
        sweep.reached = rows.last().map(|row| row.key.clone());
        for row in rows.iter().filter(|_| !planted(PlantedBug::LeftoversNotOffered)) {
            let name = rows::parse_object_key(&row.key).map(|(_, name)| name);
            let stored = row.value.as_ref().and_then(|value| StoredRecord::decode(value).ok());
            let (Some(name), Some(stored)) = (name, stored) else {
                // Nobody can have it from here any more.
                self.counters.rows_damaged += 1;
                continue;
            };
            self.counters.leftovers_offered += 1;
            for piece in stored.record.pieces() {
                sweep.open.insert(self.send_delayed(sweep.target, &name, piece));
            }
        }
        self.sweep = Some(sweep);
        self.go_on_with_sweep();
        true
    }

    /// A member answered. Says whether the operation was one of what is left over.
    pub(super) fn leftover_answered(
        &mut self,
        operation: OperationId,
        from: NodeId,
        outcome: WriteOutcome,
    ) -> bool {
        let Some(sweep) = &mut self.sweep else { return false };
        if !sweep.open.contains(&operation) || sweep.target != from {
            return false;
        }
        if outcome == (WriteOutcome::Stored { synced: true }) {
            sweep.open.remove(&operation);
            sweep.since = self.now.monotonic;
            self.go_on_with_sweep();
        } else {
            // This page again, a little later.
            self.sweep = None;
        }
        true
    }

    fn go_on_with_sweep(&mut self) {
        let Some(sweep) = self.sweep.take_if(|sweep| sweep.open.is_empty()) else { return };
        let id = sweep.partition;
        if !self.replica.leftovers().contains(&id) {
            return;
        }
        if sweep.is_last {
            self.moves.swept.remove(&id);
            self.replica.wipe(id);
        } else {
            if let Some(reached) = &sweep.reached {
                self.moves.swept.insert(id, reached.clone());
            }
            self.offer_page(id, sweep.reached);
        }
    }

    /// The rows of a partition are gone, or could not be removed.
    pub(super) fn partition_wiped(&mut self, id: PartitionId, moves: u64, stored: bool) {
        self.replica.wiped(id, moves, stored);
        if stored {
            self.counters.copies_wiped += 1;
            self.moves.handed_over.remove(&id);
            self.sweep_leftovers();
        }
    }
}
