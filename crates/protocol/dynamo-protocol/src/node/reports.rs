//! Clock reports on their way between members (protocol rule 5, history 11).
//!
//! A member's report is the clock of its last synced checkpoint. It is sent to the other members of the
//! partition until they confirm that they keep it, and counts for their stable cuts only then: whoever
//! collected on the strength of a report and then forgot it would not notice that the reporter's disk
//! went back behind it. For the same reason a member that connects is told what it reported last.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use dynamo_messages::{ClockReport, PeerMessage};
use dynamo_types::{NodeId, PartitionId};
use dynamo_versioning::DotSet;

use super::Node;
use crate::effect::{Column, Lane, StoreWrite};
use crate::replica::MetaTag;
use crate::rows;

/// Reports in one message: at some 100 bytes each far below a frame.
const REPORTS_PER_MESSAGE: usize = 256;
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
    storing: BTreeMap<(NodeId, u64), Vec<ClockReport>>,
    next: u64,
    /// Something is to be sent at the end of the turn.
    due: bool,
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
        let remembered = shared.iter().filter_map(|id| self.replica.report_of(*id, node));
        let remembered: Vec<ClockReport> = remembered.collect();
        for reports in remembered.chunks(REPORTS_PER_MESSAGE) {
            // Not confirmed: the member remembers its own reports without us.
            let message = PeerMessage::ClockReports { number: 0, reports: reports.to_vec() };
            self.send(node, Lane::Background, message);
        }
        self.reports.unconfirmed.insert(node, shared.into_iter().collect());
        self.reports.due = true;
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
            let own = self.config.node;
            let partitions = self.reports.unconfirmed.get(&node).into_iter().flatten();
            let reports = partitions.filter_map(|id| self.replica.own_report(*id, own));
            let reports: Vec<ClockReport> = reports.take(REPORTS_PER_MESSAGE).collect();
            if reports.is_empty() {
                continue;
            }
            self.reports.next += 1;
            let number = self.reports.next;
            self.reports.sent.insert(number, (node, reports.clone()));
            self.send(node, Lane::Background, PeerMessage::ClockReports { number, reports });
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
                let own = self.config.node;
                if self.replica.own_report(report.partition, own).as_ref() == Some(&report) {
                    unconfirmed.remove(&report.partition);
                }
            }
        }
        self.reports.due = true;
    }

    pub(super) fn reports_received(
        &mut self,
        from: NodeId,
        number: u64,
        reports: Vec<ClockReport>,
    ) {
        let here = self.config.node;
        let mut news = Vec::new();
        for report in reports {
            let layout = &self.config.layout;
            let shared = layout.partition_count().contains(report.partition) && {
                let set = layout.replica_set(report.partition);
                set.contains(here) && set.contains(from)
            };
            if shared && report.member == from {
                news.push(report);
            } else if shared && report.member == here {
                let (id, dots) = (report.partition, &report.dots);
                self.replica.remembered_report(id, dots, &mut self.counters);
            } else {
                self.counters.messages_refused += 1;
            }
        }
        if news.is_empty() || self.reports.storing.len() >= STORING_MAX {
            return;
        }
        let writes = news.iter().map(|report| StoreWrite::Put {
            column: Column::Meta,
            key: rows::report_key(report.partition, from),
            value: encoded(&report.dots),
        });
        let writes = writes.collect();
        self.reports.storing.insert((from, number), news);
        self.replica.store_meta(writes, MetaTag::ReportsFrom(from, number));
    }

    /// Reports of a member are synced here, or were refused by the disk.
    pub(super) fn reports_stored(&mut self, from: NodeId, number: u64, stored: bool) {
        let Some(reports) = self.reports.storing.remove(&(from, number)) else { return };
        if !stored {
            return;
        }
        for report in reports {
            self.replica.take_report(report.partition, from, report.dots);
        }
        self.send(from, Lane::Background, PeerMessage::ClockReportsStored { number });
    }
}

fn encoded(dots: &DotSet) -> bytes::Bytes {
    let mut row = Vec::with_capacity(dots.encoded_len());
    dots.encode(&mut row);
    row.into()
}
