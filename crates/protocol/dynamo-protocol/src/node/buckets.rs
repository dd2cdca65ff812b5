//! Bucket settings: putting, spreading, and waiting for newer ones.
//!
//! Settings are a mergeable value that every node keeps. A change is stored here, sent to all, and
//! answered once a majority of members stored it. A coordinator that has not heard of it yet could
//! answer too early, with the old r or w; so answers of replicas carry the version that they know,
//! and an answer that speaks of a newer one waits until the settings have been fetched (protocol
//! rule 2, history 28).

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_coordination::get::GetEvent;
use dynamo_coordination::put::PutEvent;
use dynamo_membership::BucketEntry;
use dynamo_messages::{Failure, Invalid, OperationId, PeerMessage, Reply};
use dynamo_types::{Bucket, BucketSettings, Instant, NodeId};

use super::operations::{Operation, Origin};
use super::{Node, invalid};
use crate::config::Recovered;
use crate::effect::{Column, Lane, StoreWrite};
use crate::replica::MetaTag;
use crate::rows;

/// Answers that may wait for settings. Beyond that the oldest is dropped, as if it had been lost.
pub(super) const GATED_MAX: usize = 4096;
/// Settings sent in one message when a connection stands: well below a frame.
const ENTRIES_PER_MESSAGE: usize = 512;

/// An answer that speaks of newer settings than are known here.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) from: NodeId,
    operation: OperationId,
    bucket: Bucket,
    version: u64,
    message: PeerMessage,
}

/// A change of settings under way.
#[derive(Debug)]
pub(super) struct SetBucket {
    origin: Origin,
    bucket: Bucket,
    entry: BucketEntry,
    stored: BTreeSet<NodeId>,
    pub(super) deadline: Instant,
}

impl Node {
    pub(super) fn recover_buckets(&mut self, recovered: &Recovered) {
        for (key, value) in &recovered.meta {
            if key.first() != Some(&rows::BUCKET) {
                continue;
            }
            let entry = Bucket::new(key.slice(1..))
                .ok()
                .zip(value.as_ref().and_then(|value| BucketEntry::decode(value).ok()));
            match entry {
                Some((bucket, entry)) => {
                    self.buckets.merge_entry(bucket, entry);
                }
                None => self.counters.meta_rows_damaged += 1,
            }
        }
    }

    pub(super) fn bucket_reply(&self, bucket: &Bucket) -> Reply {
        let entry = self.buckets.get(bucket);
        Reply::Bucket { bucket: bucket.clone(), settings: entry.settings, version: entry.version }
    }

    pub(super) fn buckets_reply(&self) -> Reply {
        let all = self.buckets.entries();
        Reply::Buckets(all.map(|(b, entry)| (b.clone(), entry.settings, entry.version)).collect())
    }

    pub(super) fn put_bucket_requested(
        &mut self,
        origin: Origin,
        bucket: Bucket,
        settings: BucketSettings,
    ) {
        let entry = match self.buckets.set(&bucket, settings) {
            Ok(entry) => entry,
            Err(error) => {
                return self.fail(origin, invalid(Invalid::Settings, error.to_string()));
            }
        };
        let id = self.new_operation();
        let deadline = self.now.monotonic + self.config.timing.request_timeout;
        let stored = BTreeSet::new();
        let set = SetBucket { origin, bucket: bucket.clone(), entry, stored, deadline };
        self.keep(id, Operation::SetBucket(set));
        self.replica.store_meta(Vec::from([row(&bucket, &entry)]), MetaTag::BucketSet(id));
        let entries = Vec::from([(bucket.clone(), entry.encode())]);
        for node in self.connected_members() {
            let entries = entries.clone();
            let message = PeerMessage::Buckets { acknowledge: Some(id), entries };
            self.send(node, Lane::Background, message);
        }
        self.settings_changed(&bucket);
    }

    pub(super) fn set_bucket_timed_out(&mut self, set: SetBucket) {
        let reached = u8::try_from(set.stored.len()).unwrap_or(u8::MAX);
        let needed = self.member_majority();
        self.fail(set.origin, Failure::OutcomeUnknown { reached, needed });
    }

    fn member_majority(&self) -> u8 {
        u8::try_from(self.current_members().count() / 2 + 1).unwrap_or(u8::MAX)
    }

    /// A member, which may be this node, has the settings synced.
    pub(super) fn bucket_stored_at(&mut self, id: OperationId, node: NodeId) {
        match self.take(id) {
            Some(Operation::SetBucket(mut set)) => {
                set.stored.insert(node);
                if set.stored.len() >= usize::from(self.member_majority()) {
                    self.timers.set(id, None);
                    let (settings, version) = (set.entry.settings, set.entry.version);
                    let reply = Reply::Bucket { bucket: set.bucket, settings, version };
                    self.answer(set.origin, reply);
                } else {
                    self.keep(id, Operation::SetBucket(set));
                }
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }

    pub(super) fn meta_stored(&mut self, tag: MetaTag, stored: bool) {
        match tag {
            MetaTag::BucketSet(id) if stored => self.bucket_stored_at(id, self.config.node),
            MetaTag::BucketsFrom(node, operation) if stored => {
                self.send(node, Lane::Background, PeerMessage::BucketsStored { operation });
            }
            MetaTag::ReportsFrom(node, number) => self.reports_stored(node, number, stored),
            MetaTag::Members => self.members_saved(stored),
            MetaTag::Register(id, number) => self.register_stored(id, number, stored),
            MetaTag::WantedLayout(number) => self.wanted_layout_stored(number, stored),
            MetaTag::Wiped(id, moves) => self.partition_wiped(id, moves, stored),
            // Unconfirmed settings are told as such when the deadline passes.
            MetaTag::BucketSet(_) | MetaTag::BucketsFrom(..) | MetaTag::Nobody => {}
        }
    }

    pub(super) fn buckets_received(
        &mut self,
        from: NodeId,
        mut acknowledge: Option<OperationId>,
        entries: Vec<(Bucket, Bytes)>,
    ) {
        let mut writes = Vec::new();
        let mut changed = Vec::new();
        for (bucket, bytes) in entries {
            let Ok(entry) = BucketEntry::decode(&bytes) else {
                self.counters.messages_refused += 1;
                continue;
            };
            let merged = self.buckets.merge_entry(bucket.clone(), entry);
            let current = self.buckets.get(&bucket);
            if entry.supersedes(&current) {
                // There is no room for it, so that it must not count as stored.
                acknowledge = None;
                continue;
            }
            // What is in the table may have been refused by the disk: to confirm it, write it again.
            if merged || acknowledge.is_some() {
                writes.push(row(&bucket, &current));
            }
            if merged {
                changed.push(bucket);
            }
        }
        if acknowledge.is_some() || !writes.is_empty() {
            let tag = acknowledge.map_or(MetaTag::Nobody, |id| MetaTag::BucketsFrom(from, id));
            self.replica.store_meta(writes, tag);
        }
        for bucket in changed {
            self.settings_changed(&bucket);
        }
    }

    pub(super) fn ask_bucket_received(&mut self, from: NodeId, bucket: &Bucket) {
        let entries = Vec::from([(bucket.clone(), self.buckets.get(bucket).encode())]);
        self.send(from, Lane::Background, PeerMessage::Buckets { acknowledge: None, entries });
    }

    pub(super) fn send_all_buckets(&mut self, node: NodeId) {
        self.send_buckets_in(node, u64::MAX);
    }

    /// Sends the settings of some groups of buckets, given as a bit for each.
    pub(super) fn send_buckets_in(&mut self, node: NodeId, groups: u64) {
        let entries = self.buckets.entries_in(groups);
        let all: Vec<(Bucket, Bytes)> =
            entries.map(|(b, entry)| (b.clone(), entry.encode())).collect();
        for entries in all.chunks(ENTRIES_PER_MESSAGE) {
            let entries = entries.to_vec();
            self.send(node, Lane::Background, PeerMessage::Buckets { acknowledge: None, entries });
        }
    }

    /// The bucket that an operation is about.
    pub(super) fn bucket_of(&self, id: OperationId) -> Option<Bucket> {
        match self.operations.get(&id)? {
            Operation::Get(get) => Some(get.name.bucket.clone()),
            Operation::Put(put) => Some(put.name.bucket.clone()),
            Operation::Check { intent, .. } | Operation::Minting { intent, .. } => {
                Some(intent.name.bucket.clone())
            }
            Operation::Forward { .. }
            | Operation::List(_)
            | Operation::ListQuestion { .. }
            | Operation::SetBucket(_)
            | Operation::Explain(_) => None,
        }
    }

    /// Lets an answer wait until the settings that it speaks of are known here.
    pub(super) fn gate(
        &mut self,
        from: NodeId,
        operation: OperationId,
        bucket: Bucket,
        version: u64,
        message: PeerMessage,
    ) {
        // Nobody waits for the answer of an operation that has ended; and if the question for the
        // settings was lost, this is what lets it be asked again.
        let operations = &self.operations;
        self.gated.retain(|gated| operations.contains_key(&gated.operation));
        // What was asked for an older version may be answered with that one.
        let asked = |g: &Gated| g.bucket == bucket && g.from == from && g.version >= version;
        let asked = self.gated.iter().any(asked);
        if !asked {
            let message = PeerMessage::AskBucket { bucket: bucket.clone() };
            self.send(from, Lane::Background, message);
        }
        if self.gated.len() >= GATED_MAX {
            self.gated.pop_front();
        }
        self.gated.push_back(Gated { from, operation, bucket, version, message });
    }

    /// Evaluates r and w of what is under way again, then takes the answers that waited.
    fn settings_changed(&mut self, bucket: &Bucket) {
        let of_bucket: Vec<OperationId> = self.operations.keys().copied().collect();
        for id in of_bucket {
            if self.bucket_of(id).as_ref() == Some(bucket) {
                self.evaluate_quorum_again(id);
            }
        }
        let version = self.buckets.get(bucket).version;
        let waiting = core::mem::take(&mut self.gated);
        for gated in waiting {
            if gated.bucket == *bucket && gated.version <= version {
                self.received(gated.from, gated.message);
            } else {
                self.gated.push_back(gated);
            }
        }
    }

    fn evaluate_quorum_again(&mut self, id: OperationId) {
        let now = self.now.monotonic;
        match self.take(id) {
            Some(Operation::Get(mut get)) => {
                if let Ok(quorum) = self.quorum(&get.name.bucket, &get.options) {
                    get.machine.handle(now, GetEvent::Needed(quorum.r()));
                }
                self.drive_get(id, get);
            }
            Some(Operation::Put(mut put)) => {
                if let Ok(quorum) = self.quorum(&put.name.bucket, &put.options) {
                    put.machine.handle(PutEvent::Needed(quorum.w()));
                }
                self.drive_put(id, put);
            }
            Some(Operation::Minting { mut intent, place, register }) => {
                if let Ok(quorum) = self.quorum(&intent.name.bucket, &intent.options) {
                    intent.needed = quorum.w();
                }
                self.keep(id, Operation::Minting { intent, place, register });
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }
}

fn row(bucket: &Bucket, entry: &BucketEntry) -> StoreWrite {
    StoreWrite::Put { column: Column::Meta, key: rows::bucket_key(bucket), value: entry.encode() }
}
