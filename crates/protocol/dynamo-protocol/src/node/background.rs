//! Work that nobody waits for: collecting, scrubbing. A little at a time (Paper §6.5).

use dynamo_repair::budget::Work;
use dynamo_types::Instant;

use super::Node;
use super::budget::ROWS_PER_UNIT;
use crate::effect::{Column, Effect, ScanId};
use crate::event::ScannedRow;
use crate::replica::{PAGE_BYTES, PAGE_ROWS};

/// What the background works at.
#[derive(Debug)]
pub(super) struct Background {
    /// When the next page of the scrub is due.
    scrub_at: Instant,
    /// The page of the scrub that is being read.
    page: Option<ScanId>,
}

impl Background {
    pub(super) fn new(now: Instant) -> Self {
        Self { scrub_at: now, page: None }
    }
}

impl Node {
    /// Does the next little piece.
    pub(super) fn background_tick(&mut self) {
        self.budget_tick();
        self.replica.collect_some();
        let now = self.now.monotonic;
        let is_due = now >= self.background.scrub_at || self.replica.scrub_is_urgent();
        if is_due && self.has_background_room(Work::Upkeep) {
            self.background.scrub_at = now + self.config.timing.scrub_interval;
            self.scrub();
        }
    }

    fn scrub(&mut self) {
        if self.background.page.is_some() {
            return;
        }
        let Some(page) = self.replica.scrub_page() else { return };
        let scan = ScanId(self.replica.next_load().0);
        self.background.page = Some(scan);
        self.effects.push_back(Effect::Scan {
            scan,
            column: Column::Objects,
            from: page.from,
            to: page.to,
            rows_max: PAGE_ROWS,
            bytes_max: PAGE_BYTES,
        });
    }

    /// A page of the scrub was read. Says whether the scan was one of these.
    pub(super) fn page_scanned(
        &mut self,
        scan: ScanId,
        rows: &[ScannedRow],
        end: bool,
        failed: bool,
    ) -> bool {
        if self.background.page != Some(scan) {
            return false;
        }
        self.background.page = None;
        let now = self.now;
        let rebuilt = self.replica.scrubbed(now, rows, end, failed, &mut self.counters);
        if let Some(partition) = rebuilt {
            // Only now can it be compared with the other members.
            let event = dynamo_repair::anti_entropy::AntiEntropyEvent::Reset { partition };
            self.repair_event(event);
        }
        if !failed && self.replica.scrub_is_urgent() {
            // A page a second is what there is always, and no work that anybody waits for.
            let units = u32::try_from(rows.len() as u64 / ROWS_PER_UNIT).unwrap_or(u32::MAX);
            self.spend(Work::Upkeep, units);
            if self.has_background_room(Work::Upkeep) {
                self.scrub();
            }
        }
        true
    }
}
