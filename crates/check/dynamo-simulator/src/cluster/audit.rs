//! After the faults: read everything until nothing is written any more, then look at the disks.

use core::time::Duration;
use std::collections::BTreeMap;

use dynamo_checker::causality::Ancestry;
use dynamo_checker::evidence::HeldRecord;
use dynamo_checker::history::{HostIndex, KeyIndex, Outcome, WriteId, WriteKind};
use dynamo_messages::{Failure, Mutation, Options, Reply, Request};
use dynamo_protocol::Column;
use dynamo_types::RequestId;
use dynamo_versioning::{Content, StoredRecord};

use super::{Answer, Attempt, Cluster, Happening};
use crate::markers::Marker;

/// Rounds of reads until the replicas agree; beyond that they do not converge.
const ROUNDS_MAX: u32 = 12;
/// Gets under way at one node: less than any seed's limit.
const GETS_AT_ONCE: usize = 2;
/// How long a request of the audit may take. Nodes give up long before.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The client number under which the audit reads.
const AUDITOR: usize = 999;

impl Cluster {
    /// Asks nodes, all at the same time, and lets things happen until all have answered.
    pub(super) fn ask(&mut self, questions: Vec<(HostIndex, Request)>) -> Vec<Option<Reply>> {
        let mut attempts = Vec::new();
        for (host, request) in questions {
            self.attempt_counter += 1;
            let attempt = self.attempt_counter;
            self.attempts.insert(attempt, Attempt { client: None, host, process: None });
            let request = Box::new(request);
            self.schedule(Duration::ZERO, Happening::RequestArrives { attempt, request });
            attempts.push(attempt);
        }
        let until = self.now + ANSWER_WITHIN;
        while !attempts.iter().all(|attempt| self.audit_answers.contains_key(attempt))
            && self.queue.next_at().is_some_and(|at| at <= until)
        {
            self.step();
        }
        attempts
            .into_iter()
            .map(|attempt| match self.audit_answers.remove(&attempt) {
                Some(Answer::Reply(reply)) => Some(reply),
                Some(Answer::Refused | Answer::Broken) | None => None,
            })
            .collect()
    }

    pub(crate) fn ask_one(&mut self, host: HostIndex, request: Request) -> Option<Reply> {
        self.ask(vec![(host, request)]).pop().flatten()
    }

    pub(super) fn audit(&mut self) {
        self.await_agreement();
        for round in 1..=ROUNDS_MAX {
            let before = self.object_rows_written;
            let reads_before = self.history.reads.len();
            // Damage and losses are found by ordinary reads; only then can every replica answer.
            let damage_left = self.read_everything(round > 1);
            let repair = Duration::from_secs(2);
            self.advance_to(self.now + repair);
            let written = self.object_rows_written - before;
            self.evidence.quiet.rounds = round;
            self.evidence.quiet.writes_in_last_round = written;
            if written > 0 {
                self.markers.hit(Marker::RepairedAfterHealing);
            } else if round > 1 && !damage_left {
                self.evidence.quiet.reached = true;
                for read in &mut self.history.reads[reads_before..] {
                    read.after_convergence = true;
                }
                break;
            }
        }
        self.look_at_disks();
        self.write_everywhere();
    }

    /// Reads every key from every node. True if a get failed for a key with a damaged row: that get
    /// repairs it, and the next one must succeed.
    fn read_everything(&mut self, all_replicas: bool) -> bool {
        let mut damage_left = false;
        let keys: Vec<KeyIndex> = self.history.key_indices().collect();
        let n = self.options.replication.get();
        for chunk in keys.chunks(GETS_AT_ONCE) {
            let mut questions = Vec::new();
            let mut about = Vec::new();
            for host in self.host_indices() {
                for key in chunk {
                    let (name, bucket, _) = self.keys[usize::from(key.0)].clone();
                    let r = if all_replicas { n } else { self.buckets[bucket].settings.r };
                    let options = Options {
                        r: all_replicas.then_some(n),
                        strict: all_replicas,
                        timeout_ms: Some(5_000),
                        ..Options::default()
                    };
                    questions.push((host, Request::Get { name, options }));
                    about.push((host, *key, r));
                }
            }
            let asked = self.now;
            let replies = self.ask(questions);
            for ((host, key, r), reply) in about.into_iter().zip(replies) {
                self.evidence.requests_after_healing += 1;
                match reply {
                    Some(Reply::Object(object)) => {
                        self.note_read((AUDITOR, host), key, (r, all_replicas, asked), object);
                    }
                    Some(Reply::Failed(Failure::NotEnoughReplicas { .. }))
                        if self.history.key(key).damaged_rows > 0 =>
                    {
                        damage_left = true;
                    }
                    other => {
                        let name = &self.keys[usize::from(key.0)].0;
                        let failure = format!("{host} answers a get of {name} (r={r}): {other:?}");
                        self.evidence.failures_after_healing.push(failure);
                    }
                }
            }
        }
        damage_left
    }

    /// A healed cluster takes writes: one to each key, over what is there, and it reads back.
    fn write_everywhere(&mut self) {
        let keys: Vec<KeyIndex> = self.history.key_indices().collect();
        for key in keys {
            let (name, ..) = self.keys[usize::from(key.0)].clone();
            let nodes = u64::from(self.options.nodes);
            let host = HostIndex(u8::try_from(self.random.below(nodes)).expect("few nodes"));
            let get = Request::Get { name: name.clone(), options: Options::default() };
            let before = self.ask_one(host, get.clone());
            let Some(Reply::Object(before)) = before else {
                self.evidence.failures_after_healing.push(format!("{host}: {before:?}"));
                continue;
            };
            let bytes = bytes::Bytes::from(format!("after healing {}", key.0));
            // By replicas alone: a fallback that was quicker would do, and the read miss it.
            let strict = Options { strict: true, ..Options::default() };
            let mutation = Mutation {
                name,
                content: Content::Value { bytes: bytes.clone(), content_type: "text/plain".into() },
                contexts: vec![before.context],
                request: RequestId(u128::from(self.random.bits()) << 64 | 1),
                retry: false,
                options: strict,
            };
            let stored = self.ask_one(host, Request::Mutate(mutation));
            let after = self.ask_one(host, get);
            self.evidence.requests_after_healing += 3;
            let stored_fine = matches!(stored, Some(Reply::Stored { .. }));
            let reads_back = matches!(&after, Some(Reply::Object(object))
                if object.siblings.iter().map(|s| &s.value).eq([&bytes]));
            // With r + w <= N a read may come from a replica that the write has not reached yet.
            let (_, bucket, _) = &self.keys[usize::from(key.0)];
            let settings = self.buckets[*bucket].settings;
            let overlap = settings.r + settings.w > self.options.replication.get();
            if !stored_fine || (overlap && !reads_back) {
                let failure = format!("{host} after healing: {stored:?}, then {after:?}");
                self.evidence.failures_after_healing.push(failure);
            }
        }
    }

    fn look_at_disks(&mut self) {
        for host in self.host_indices() {
            let rows: Vec<(bytes::Bytes, Option<bytes::Bytes>)> = self.hosts[host.index()]
                .disk
                .rows(Column::Objects)
                .map(|(key, value)| (key.clone(), value.cloned()))
                .collect();
            for (row, value) in rows {
                let Some(key) = self.key_of_row.get(&row).copied() else {
                    self.evidence.strays.push(format!("{host} has a row of no key: {row:?}"));
                    continue;
                };
                let replicas = &self.history.key(key).replicas;
                if !replicas.contains(&host) {
                    let stray = format!("{host} has a row of {key:?}, which is {replicas:?}'s");
                    self.evidence.strays.push(stray);
                }
                let partition = self.keys[usize::from(key.0)].2;
                let held = match value.as_ref().map(StoredRecord::decode) {
                    Some(Ok(stored)) => self.observer.held((partition, key), &stored.record),
                    Some(Err(error)) => unreadable(error.to_string()),
                    None => unreadable("damaged, and not repaired".to_owned()),
                };
                self.evidence.disks.insert((key, host), held);
            }
            let hints = self.hosts[host.index()].disk.rows(Column::Hints);
            let hints = hints.map(|(row, _)| format!("{host} still keeps the hint {row:?}"));
            self.evidence.strays.extend(hints);
        }
    }

    /// Gathers the evidence that was not gathered on the way.
    pub(super) fn collect_evidence(&mut self) {
        for host in self.host_indices() {
            if let Some(machine) = self.host(host).machine.take() {
                self.add_counters(&machine);
            }
        }
        let hidden = self.hidden_parents();
        self.evidence.ancestry = Ancestry::new(&self.history, &hidden);
        let observer = core::mem::take(&mut self.observer);
        for dots in observer.minted.values() {
            if dots.len() > 1 {
                self.markers.hit(Marker::MintedTwice);
            }
        }
        self.evidence.minted = observer.minted;
        self.evidence.stored = observer.stored;
        self.evidence.asked = observer.asked;
        self.evidence.dot_conflicts = observer.conflicts;
        self.evidence.history = core::mem::take(&mut self.history);
    }

    /// Parents that clients cannot name: tombstones behind their contexts, and what deletes without
    /// context covered.
    fn hidden_parents(&self) -> BTreeMap<WriteId, Vec<WriteId>> {
        let mut hidden: BTreeMap<WriteId, Vec<WriteId>> = BTreeMap::new();
        let mut deletes: BTreeMap<KeyIndex, Vec<(dynamo_versioning::Dot, WriteId)>> =
            BTreeMap::new();
        for (id, dots) in &self.observer.minted {
            let write = self.history.write(*id);
            if write.kind != WriteKind::Value {
                let of_key = deletes.entry(write.key).or_default();
                of_key.extend(dots.iter().map(|minted| (minted.dot, *id)));
            }
        }
        for (id, context) in &self.contexts {
            let key = self.history.write(*id).key;
            let behind = deletes.get(&key).map_or(&[][..], Vec::as_slice);
            let seen = behind.iter().filter(|(dot, _)| context.contains(*dot)).map(|(_, d)| *d);
            hidden.entry(*id).or_default().extend(seen);
        }
        for (id, dots) in &self.observer.first_contexts {
            let write = self.history.write(*id);
            if write.kind != WriteKind::DeleteUnseen || write.outcome == Outcome::Failed {
                continue;
            }
            let partition = self.keys[usize::from(write.key.0)].2;
            let covered =
                dots.iter().filter_map(|dot| self.observer.write_of(partition, write.key, *dot));
            hidden.entry(*id).or_default().extend(covered);
        }
        hidden
    }
}

fn unreadable(why: String) -> HeldRecord {
    HeldRecord { unreadable: Some(why), ..HeldRecord::default() }
}
