//! Handing hints to those they are kept for (Paper §4.6; protocol rule 7).
//!
//! A fallback reads the hints of a target in the order of their rows and sends each as a delayed
//! message. When a pass has come to the end and everything was taken, the target is at rest until
//! another hint is stored for it; what was refused or not answered is sent again by another pass.
//!
//! ```text
//!            a hint is stored, or the target comes back
//!   at rest ------------------------------------------> reading ---> sending, a window at a time
//!      ^                                                   ^               |
//!      |  the end is reached, and all was taken            +---------------+ more rows
//!      +-------------------------------------------------------------------+
//! ```
//!
//! The receiver sets the pace: the window grows by one with each hint that is taken quickly, and
//! halves when one is refused or takes long. A node that comes back after hours is thus not flooded
//! by all its fallbacks at once.
//!
//! **Not here:** removing a hint. Whoever owns the rows does, once the target has the version synced,
//! and only if the hint is still what was sent: a newer one would be lost (history 7).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_types::{Instant, NodeId, ObjectName};
use dynamo_versioning::Record;

use crate::budget::part_of;

/// How hints are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandoffConfig {
    /// Hints under way to one target at most.
    pub window_max: usize,
    /// An answer that takes longer says that the target is busy.
    pub slow: Duration,
    /// How long an answer is awaited.
    pub patience: Duration,
    /// How long a target that refused is left alone.
    pub pause: Duration,
}

impl Default for HandoffConfig {
    /// 64 hints at once: at a sync of 10 ms each that is 6,400 hints a second.
    fn default() -> Self {
        Self {
            window_max: 64,
            slow: Duration::from_millis(100),
            patience: Duration::from_secs(2),
            pause: Duration::from_millis(500),
        }
    }
}

/// Rows that one reading asks for: what two windows take. They are held in memory, for each target
/// that is up.
const ROWS_PER_SCAN: u32 = 128;

/// Names one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryId(pub u64);

/// A hint as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRow {
    /// The key of its row.
    pub row: Bytes,
    /// Which object.
    pub name: ObjectName,
    /// What is kept of it.
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffEvent {
    /// The target can be reached.
    Up(NodeId),
    /// The target cannot be reached any more; what is under way to it may have arrived.
    Down(NodeId),
    /// There are hints for the target that no pass may have seen.
    Pending(NodeId),
    /// A hint was taken and could not be removed here: it will be sent again, but not at once, as
    /// the disk is not well.
    NotRemoved(NodeId),
    /// To [`HandoffEffect::Scan`].
    Scanned {
        /// For whom.
        target: NodeId,
        /// Its hints, in the order of their rows.
        rows: Vec<HintRow>,
        /// The last row that was looked at, readable or not.
        reached: Option<Bytes>,
        /// Whether there are no more.
        end: bool,
    },
    /// To [`HandoffEffect::Scan`]: the rows could not be read.
    ScanFailed(NodeId),
    /// The target has the hint synced.
    Taken(DeliveryId),
    /// The target did not take the hint.
    Refused(DeliveryId),
    /// How much of the usual window may be used, in a hundred; 100 at the start. One hint is always
    /// allowed: hints are what is left of writes that were acknowledged.
    Budget(u8),
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffEffect {
    /// Read the target's hints behind this row.
    Scan {
        /// For whom.
        target: NodeId,
        /// Behind which row; from the first if none.
        after: Option<Bytes>,
        /// At most this many.
        rows_max: u32,
    },
    /// Send a hint to its target.
    Deliver {
        /// Repeated in the answer.
        delivery: DeliveryId,
        /// To whom.
        target: NodeId,
        /// What.
        hint: HintRow,
    },
}

/// The hints of one target.
#[derive(Debug)]
struct Target {
    up: bool,
    /// Hints may be there that the present pass does not see, or did not get rid of.
    pending: bool,
    /// A pass is being made: rows behind `after` are still to be read.
    passing: bool,
    scanning: bool,
    after: Option<Bytes>,
    /// Read and not sent.
    ready: VecDeque<HintRow>,
    in_flight: BTreeMap<DeliveryId, Instant>,
    window: usize,
    wait_until: Instant,
}

/// The machine: all targets of one fallback.
#[derive(Debug)]
pub struct HintedHandoff {
    config: HandoffConfig,
    targets: BTreeMap<NodeId, Target>,
    /// The target of each delivery under way.
    deliveries: BTreeMap<DeliveryId, NodeId>,
    next_delivery: u64,
    /// Hints under way to one target at most, within the background budget.
    window_max: usize,
    effects: VecDeque<HandoffEffect>,
}

impl HintedHandoff {
    /// Nobody is up, nothing is pending.
    #[must_use]
    pub fn new(config: HandoffConfig) -> Self {
        Self {
            config,
            targets: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            next_delivery: 0,
            window_max: config.window_max,
            effects: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, event: HandoffEvent) {
        let target = match event {
            HandoffEvent::Up(node) => {
                self.target(node).up = true;
                node
            }
            HandoffEvent::Down(node) => {
                self.down(node);
                node
            }
            HandoffEvent::Pending(node) => {
                self.target(node).pending = true;
                node
            }
            HandoffEvent::NotRemoved(node) => {
                let pause = self.config.pause;
                let target = self.target(node);
                target.pending = true;
                target.wait_until = now + pause;
                node
            }
            HandoffEvent::Scanned { target: node, rows, reached, end } => {
                let target = self.target(node);
                if target.scanning {
                    target.scanning = false;
                    target.after = reached.or(target.after.take());
                    target.ready.extend(rows);
                    target.passing = !end;
                }
                node
            }
            HandoffEvent::ScanFailed(node) => {
                let pause = self.config.pause;
                let target = self.target(node);
                target.scanning = false;
                target.passing = false;
                target.pending = true;
                target.wait_until = now + pause;
                node
            }
            HandoffEvent::Taken(delivery) => {
                let Some((node, sent)) = self.ended(delivery) else { return };
                let quick = now.saturating_since(sent) <= self.config.slow;
                let most = self.config.window_max;
                let target = self.target(node);
                target.window =
                    if quick { (target.window + 1).min(most) } else { (target.window / 2).max(1) };
                node
            }
            HandoffEvent::Refused(delivery) => {
                let Some((node, _)) = self.ended(delivery) else { return };
                self.refused(now, node);
                node
            }
            HandoffEvent::Budget(share) => {
                self.window_max = part_of(self.config.window_max, share).max(1);
                let nodes: Vec<NodeId> = self.targets.keys().copied().collect();
                for node in nodes {
                    self.go_on(now, node);
                }
                return;
            }
        };
        self.go_on(now, target);
    }

    /// Gives up on deliveries that nobody answered, and tries again whom it left alone.
    pub fn handle_timeout(&mut self, now: Instant) {
        let patience = self.config.patience;
        let nodes: Vec<NodeId> = self.targets.keys().copied().collect();
        for node in nodes {
            let target = self.target(node);
            let late: Vec<DeliveryId> = target
                .in_flight
                .iter()
                .filter(|(_, sent)| **sent + patience <= now)
                .map(|(delivery, _)| *delivery)
                .collect();
            for delivery in &late {
                self.ended(*delivery);
            }
            if !late.is_empty() {
                self.refused(now, node);
            }
            self.go_on(now, node);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_target = |target: &Target| {
            // Deliveries are numbered in the order of sending: the first is the oldest.
            let oldest = target.in_flight.values().next();
            let answer = oldest.map(|sent| *sent + self.config.patience);
            let again = (target.up && target.has_work() && !target.scanning)
                .then_some(target.wait_until)
                .filter(|_| target.in_flight.is_empty());
            answer.into_iter().chain(again).min()
        };
        self.targets.values().filter_map(of_target).min()
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<HandoffEffect> {
        self.effects.pop_front()
    }

    /// Whether the delivery is still awaited.
    #[must_use]
    pub fn is_under_way(&self, delivery: DeliveryId) -> bool {
        self.deliveries.contains_key(&delivery)
    }

    fn target(&mut self, node: NodeId) -> &mut Target {
        self.targets.entry(node).or_insert_with(|| Target {
            up: false,
            pending: false,
            passing: false,
            scanning: false,
            after: None,
            ready: VecDeque::new(),
            in_flight: BTreeMap::new(),
            window: 8,
            wait_until: Instant::ZERO,
        })
    }

    fn down(&mut self, node: NodeId) {
        let target = self.target(node);
        target.up = false;
        // Where the pass was broken off does not matter: what was taken is not there any more.
        target.pending |=
            target.passing || !target.ready.is_empty() || !target.in_flight.is_empty();
        target.passing = false;
        target.ready.clear();
        target.after = None;
        target.window = 8;
        let open = core::mem::take(&mut target.in_flight);
        for delivery in open.keys() {
            self.deliveries.remove(delivery);
        }
    }

    fn ended(&mut self, delivery: DeliveryId) -> Option<(NodeId, Instant)> {
        let node = self.deliveries.remove(&delivery)?;
        let sent = self.target(node).in_flight.remove(&delivery)?;
        Some((node, sent))
    }

    fn refused(&mut self, now: Instant, node: NodeId) {
        let pause = self.config.pause;
        let target = self.target(node);
        target.pending = true;
        target.window = (target.window / 2).max(1);
        target.wait_until = now + pause;
    }

    /// Does what the target's state allows now.
    fn go_on(&mut self, now: Instant, node: NodeId) {
        let most = self.window_max;
        loop {
            let target = self.target(node);
            let window = target.window.min(most);
            if !target.up || now < target.wait_until || target.in_flight.len() >= window {
                return;
            }
            if let Some(hint) = target.ready.pop_front() {
                self.next_delivery += 1;
                let delivery = DeliveryId(self.next_delivery);
                self.target(node).in_flight.insert(delivery, now);
                self.deliveries.insert(delivery, node);
                let target = node;
                self.effects.push_back(HandoffEffect::Deliver { delivery, target, hint });
                continue;
            }
            if target.scanning {
                return;
            }
            if !target.passing {
                // A new pass begins only when all of the last one was answered, or what is still
                // there would be sent twice.
                if !target.pending || !target.in_flight.is_empty() {
                    return;
                }
                target.pending = false;
                target.passing = true;
                target.after = None;
            }
            target.scanning = true;
            let after = target.after.clone();
            let rows_max = ROWS_PER_SCAN;
            self.effects.push_back(HandoffEffect::Scan { target: node, after, rows_max });
            return;
        }
    }
}

impl Target {
    fn has_work(&self) -> bool {
        self.pending || self.passing || !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests;
