//! Clock reports on their way between members (protocol rule 5, history 11).
//!
//! A member's report is the clock of its last synced checkpoint. It is sent to the other members of the
//! partition until they confirm that they keep it, and counts for their stable cuts only then: whoever
//! collected on the strength of a report and then forgot it would not notice that the reporter's disk
//! went back behind it. For the same reason a member that connects is told by which checkpoints it is
//! known: see `replica::reports`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use dynamo_messages::{ClockReport, KnownBy, PeerMessage};
use dynamo_types::{CheckpointName, NodeId, PartitionId};

use super::Node;
use crate::effect::Lane;
use crate::replica::{MetaTag, ReportVerdict};
use crate::rows::Report;

/// Reports in one message: at some 100 bytes each far below a frame.
const REPORTS_PER_MESSAGE: usize = 256;
/// Bytes of their clocks: a small part of a frame, however many processes a clock has seen.
const REPORT_BYTES_PER_MESSAGE: usize = 1 << 20;
/// Messages of reports whose rows are being stored, from all members. Beyond that a message is
/// dropped, and sent again by its sender.
const STORING_MAX: usize = 1024;

/// Reports under way.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Partitions whose present report a member has not confirmed.
    unconfirmed: BTreeMap<NodeId, BTreeSet<PartitionId>>,
    /// Messages that are not confirmed, with what they reported.
    sent: BTreeMap<u64, (NodeId, Vec<ClockReport>)>,
    /// Reports of others whose rows are being stored.
    storing: BTreeMap<(NodeId, u64), Storing>,
    next: u64,
    /// Something is to be sent at the end of the turn.
    due: bool,
}

/// Reports of one message whose rows are being stored.
#[derive(Debug)]
struct Storing {
    reports: Vec<ClockReport>,
    /// Whether they are all that the message had to say: then it is confirmed.
    all_met: bool,
}

impl Node {
    /// This node's durable clock of a partition has moved.
    pub(super) fn clock_durable(&mut self, partition: PartitionId) {
        for other in self.replica.others_of(partition) {
            self.reports.unconfirmed.entry(other).or_default().insert(partition);
        }
        self.reports.due = true;
    }

    /// A member connected: it may be another process, that has heard nothing.
    pub(super) fn report_all(&mut self, node: NodeId) {
        let shared = self.replica.shared_with(node);
        self.tell_known_checkpoints(node, &shared);
        self.reports.unconfirmed.insert(node, shared.into_iter().collect());
        self.reports.due = true;
    }

    /// Says by which checkpoints a member is known here. Also where it is none: until all have said
    /// so, the member reports to nobody.
    pub(super) fn tell_known_checkpoints(&mut self, node: NodeId, partitions: &[PartitionId]) {
        for some in partitions.chunks(REPORTS_PER_MESSAGE) {
            let known = some.iter().map(|id| (*id, self.replica.checkpoints_of(*id, node)));
            let (known, wanted) = (known.collect(), Vec::new());
            self.send(node, Lane::Bulk, PeerMessage::KnownCheckpoints { known, wanted });
        }
    }

    /// Asks members that have not said by what they know this node: what they said was lost.
    fn ask_known_checkpoints(&mut self) {
        for node in self.connected_members() {
            for wanted in self.replica.not_met(node).chunks(REPORTS_PER_MESSAGE) {
                let (known, wanted) = (Vec::new(), wanted.to_vec());
                self.send(node, Lane::Bulk, PeerMessage::KnownCheckpoints { known, wanted });
            }
        }
    }

    /// A member's link is gone, and with it what was under way.
    pub(super) fn reports_lost(&mut self, node: NodeId) {
        self.reports.sent.retain(|_, (to, _)| *to != node);
        self.reports.storing.retain(|(from, _), _| *from != node);
    }

    /// Sends again what was not confirmed for a whole checkpoint interval.
    pub(super) fn resend_reports(&mut self) {
        self.reports.sent.clear();
        self.reports.due = true;
        self.ask_known_checkpoints();
    }

    /// Sends what is due, unless the member still has to confirm something.
    pub(super) fn send_reports(&mut self) {
        if !core::mem::take(&mut self.reports.due) {
            return;
        }
        let waiting: BTreeSet<NodeId> = self.reports.sent.values().map(|(node, _)| *node).collect();
        let nodes: Vec<NodeId> = self.reports.unconfirmed.keys().copied().collect();
        for node in nodes.into_iter().filter(|node| !waiting.contains(node)) {
            if !self.health.is_connected(node) {
                continue;
            }
            let partitions = self.reports.unconfirmed.get(&node).into_iter().flatten();
            let reports = partitions.filter_map(|id| self.replica.own_report(*id, node));
            let mut bytes = 0;
            let fit = |report: &ClockReport| {
                let first = bytes == 0;
                bytes += report.dots.encoded_len();
                first || bytes <= REPORT_BYTES_PER_MESSAGE
            };
            let reports: Vec<ClockReport> =
                reports.take(REPORTS_PER_MESSAGE).take_while(fit).collect();
            if reports.is_empty() {
                continue;
            }
            self.reports.next += 1;
            let number = self.reports.next;
            self.reports.sent.insert(number, (node, reports.clone()));
            self.send(node, Lane::Bulk, PeerMessage::ClockReports { number, reports });
        }
    }

    /// A member keeps what it was sent.
    pub(super) fn reports_confirmed(&mut self, from: NodeId, number: u64) {
        let Some((to, reports)) = self.reports.sent.remove(&number) else { return };
        if to != from {
            self.reports.sent.insert(number, (to, reports));
            return;
        }
        if let Some(unconfirmed) = self.reports.unconfirmed.get_mut(&from) {
            for report in reports {
                // Unless the clock has moved on meanwhile.
                if self.replica.is_reported(&report) {
                    unconfirmed.remove(&report.partition);
                }
            }
        }
        self.reports.due = true;
    }

    /// Another member says by which checkpoints it knows this node.
    pub(super) fn known_checkpoints_received(
        &mut self,
        from: NodeId,
        known: Vec<(PartitionId, Vec<CheckpointName>)>,
        wanted: Vec<PartitionId>,
    ) {
        let shared = |id: &PartitionId| self.is_shared(*id, from);
        let (wanted, strange): (Vec<_>, Vec<_>) = wanted.into_iter().partition(shared);
        self.counters.messages_refused += strange.len() as u64;
        self.tell_known_checkpoints(from, &wanted);
        for (id, checkpoints) in known {
            if self.is_shared(id, from) {
                self.known_by(from, id, &checkpoints);
            } else {
                self.counters.messages_refused += 1;
            }
        }
    }

    /// Another member begins an exchange with this one.
    pub(super) fn met(
        &mut self,
        id: PartitionId,
        with: NodeId,
        incomplete: bool,
        known: &[KnownBy],
    ) {
        let here = self.config.node;
        let by = known.iter().find(|known| known.member == here);
        self.known_by(with, id, by.map_or(&[], |by| &by.checkpoints));
        self.replica.met(id, with, incomplete, known);
        if incomplete {
            // What it reported before does not count any more, not even what is being stored.
            let of_peer = self.reports.storing.iter_mut().filter(|((from, _), _)| *from == with);
            for (_, storing) in of_peer {
                storing.reports.retain(|report| report.partition != id);
            }
        }
    }

    fn known_by(&mut self, from: NodeId, id: PartitionId, checkpoints: &[CheckpointName]) {
        if self.replica.known_by(id, from, checkpoints, &mut self.counters) {
            // A report that did not say so may have been turned away.
            self.reports.sent.retain(|_, (to, _)| *to != from);
            // Nor was one made before everybody had said so.
            self.clock_durable(id);
        }
    }

    fn is_shared(&self, id: PartitionId, with: NodeId) -> bool {
        self.registers.count().contains(id)
            && self.registers.is_involved(id, self.config.node)
            && self.registers.is_involved(id, with)
    }

    pub(super) fn reports_received(
        &mut self,
        from: NodeId,
        number: u64,
        reports: Vec<ClockReport>,
    ) {
        if self.reports.storing.len() >= STORING_MAX {
            return;
        }
        let (mut news, mut not_met, mut of_others) = (Vec::new(), Vec::new(), 0);
        for report in reports {
            let id = report.partition;
            if !self.is_shared(id, from) {
                self.counters.messages_refused += 1;
                continue;
            }
            if !self.replica.goes_by(id, report.register) {
                // It is sent again until both go by the same one.
                of_others += 1;
                continue;
            }
            match self.replica.judge_report(from, &report) {
                ReportVerdict::News => news.push(report),
                ReportVerdict::Overtaken => self.counters.reports_overtaken += 1,
                ReportVerdict::NotMet => not_met.push(id),
            }
        }
        let all_met = not_met.is_empty() && of_others == 0;
        if !not_met.is_empty() {
            self.tell_known_checkpoints(from, &not_met);
        }
        if news.is_empty() {
            if all_met {
                self.send(from, Lane::Bulk, PeerMessage::ClockReportsStored { number });
            }
            return;
        }
        let rows = news.iter().map(|report| {
            let row = Report { dots: report.dots.clone(), checkpoints: vec![report.checkpoint] };
            self.replica.report_row(report.partition, from, &row)
        });
        let writes = rows.collect();
        self.reports.storing.insert((from, number), Storing { reports: news, all_met });
        self.replica.store_meta(writes, MetaTag::ReportsFrom(from, number));
    }

    /// Reports of a member are synced here, or were refused by the disk.
    pub(super) fn reports_stored(&mut self, from: NodeId, number: u64, stored: bool) {
        let Some(Storing { reports, all_met }) = self.reports.storing.remove(&(from, number))
        else {
            return;
        };
        if !stored {
            return;
        }
        for report in reports {
            self.replica.take_report(report.partition, report.register, from, report.dots);
        }
        if all_met {
            self.send(from, Lane::Bulk, PeerMessage::ClockReportsStored { number });
        }
    }
}
