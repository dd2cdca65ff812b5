//! After the faults: wait until the nodes have healed each other, read everything, look at the disks.

use core::time::Duration;
use std::collections::BTreeMap;

use dynamo_checker::causality::Ancestry;
use dynamo_checker::evidence::HeldRecord;
use dynamo_checker::history::{HostIndex, KeyIndex, Outcome, WriteId, WriteKind};
use dynamo_messages::{Mutation, Options, Reply, Request};
use dynamo_protocol::Column;
use dynamo_types::RequestId;
use dynamo_versioning::{Content, DotSet, Record, StoredRecord};

use super::{Answer, Attempt, Cluster, Happening};
use crate::markers::Marker;

/// Windows until the replicas agree and are silent; beyond that they do not converge. A window is
/// as long as anti-entropy and a checkpoint take to come around.
const WINDOWS_MAX: u32 = 24;
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
        self.await_silence();
        let before = self.read_repairs();
        let reads_before = self.history.reads.len();
        self.read_everything(true);
        let settling = Duration::from_secs(2);
        self.advance_to(self.now + settling);
        let repairs = self.read_repairs() - before;
        if repairs > 0 {
            let what = format!("{repairs} repairs were sent after reads of equal replicas");
            self.evidence.failures_after_healing.push(what);
        }
        for read in &mut self.history.reads[reads_before..] {
            read.after_convergence = true;
        }
        self.look_at_disks();
        self.write_everywhere();
    }

    fn read_repairs(&self) -> u64 {
        let machines = self.hosts.iter().filter_map(|host| host.machine.as_ref());
        machines.map(|machine| machine.counters().read_repairs_sent).sum()
    }

    /// Lets time pass, without a request, until the nodes have healed each other and fall silent.
    fn await_silence(&mut self) {
        let timing = self.options.timing;
        let window = timing.anti_entropy_interval
            + timing.anti_entropy_pause
            + timing.checkpoint_interval
            + Duration::from_secs(1);
        for round in 1..=WINDOWS_MAX {
            let before = self.object_rows_written;
            self.advance_to(self.now + window);
            let written = self.object_rows_written - before;
            self.evidence.quiet.rounds = round;
            self.evidence.quiet.writes_in_last_round = written;
            if written > 0 {
                self.markers.hit(Marker::RepairedAfterHealing);
            } else if self.unhealed().is_none() {
                self.evidence.quiet.reached = true;
                break;
            }
        }
        if let Some(why) = self.unhealed() {
            self.evidence.strays.push(why);
        }
    }

    /// Why the nodes cannot be at rest yet, if so.
    fn unhealed(&self) -> Option<String> {
        for host in self.host_indices() {
            let state = &self.hosts[host.index()];
            let Some(machine) = &state.machine else { return Some(format!("{host} does not run")) };
            if machine.unsettled_partitions() > 0 {
                let told = |host: HostIndex| {
                    let machine = self.hosts[host.index()].machine.as_ref();
                    machine.map(|machine| format!("\n    {host}: {}", machine.moves_told()))
                };
                let why: String = self.host_indices().filter_map(told).collect();
                let count = machine.unsettled_partitions();
                return Some(format!("{host} knows of {count} partitions on their way:{why}"));
            }
            if machine.leftover_partitions() > 0 {
                let count = machine.leftover_partitions();
                return Some(format!("{host} still holds {count} partitions that are others'"));
            }
            if machine.incomplete_partitions() > 0 {
                let count = machine.incomplete_partitions();
                return Some(format!("{host} is incomplete in {count} partitions"));
            }
            if let Some((row, _)) = state.disk.rows(Column::Hints).next() {
                return Some(format!("{host} still keeps the hint {row:?}"));
            }
            if let Some((row, _)) = state.disk.rows(Column::Objects).find(|(_, v)| v.is_none()) {
                return Some(format!("{host} has not met the damage of {row:?}"));
            }
            let elsewhere = |row: &bytes::Bytes| {
                self.hosts.iter().any(|other| other.disk.has(Column::Objects, row))
            };
            let is_replica = |row: &bytes::Bytes| {
                let key = self.key_of_row.get(row);
                key.is_some_and(|key| self.history.key(*key).replicas.contains(&host))
            };
            let mut vanished = state.disk.vanished(Column::Objects);
            if let Some(row) = vanished.find(|row| is_replica(row) && elsewhere(row)) {
                return Some(format!("{host} does not miss {row:?}"));
            }
            let dead = state.disk.rows(Column::Objects).filter_map(|(row, value)| {
                let record = value.and_then(|value| StoredRecord::decode(value).ok())?.record;
                record.siblings().iter().all(|s| s.is_tombstone()).then_some((row, record))
            });
            let known = |record: &Record, row| self.all_have(row, record.context());
            if let Some((row, _)) = dead.into_iter().find(|(row, record)| known(record, row)) {
                return Some(format!("{host} still holds a tombstone alone: {row:?}"));
            }
        }
        None
    }

    /// Whether all replicas of a row's key have all of these versions. A number that a crash left
    /// behind between two effects is nobody's, and what spans it stays.
    fn all_have(&self, row: &bytes::Bytes, dots: &DotSet) -> bool {
        let Some(key) = self.key_of_row.get(row).copied() else { return false };
        let partition = self.keys[usize::from(key.0)].2;
        self.history.key(key).replicas.iter().all(|host| {
            let machine = self.hosts[host.index()].machine.as_ref();
            machine.is_some_and(|machine| machine.has_incorporated(partition, dots))
        })
    }

    /// Reads every key from every node.
    fn read_everything(&mut self, all_replicas: bool) {
        let keys: Vec<KeyIndex> = self.history.key_indices().collect();
        let n = self.options.replication.get();
        for chunk in keys.chunks(GETS_AT_ONCE) {
            let mut questions = Vec::new();
            let mut about = Vec::new();
            for host in self.serving_hosts() {
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
                if let Some(Reply::Object(object)) = reply {
                    self.note_read((AUDITOR, host), key, (r, all_replicas, asked), object);
                } else {
                    let name = &self.keys[usize::from(key.0)].0;
                    let failure = format!("{host} answers a get of {name} (r={r}): {reply:?}");
                    self.evidence.failures_after_healing.push(failure);
                }
            }
        }
    }

    /// A healed cluster takes writes: one to each key, over what is there, and it reads back.
    fn write_everywhere(&mut self) {
        let keys: Vec<KeyIndex> = self.history.key_indices().collect();
        for key in keys {
            let (name, ..) = self.keys[usize::from(key.0)].clone();
            let serving = self.serving_hosts();
            let host = *self.random.pick(&serving);
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
        let moved = self.epochs.keys().filter(|(_, epoch)| *epoch != dynamo_register::Epoch::FIRST);
        let moved: std::collections::BTreeSet<_> = moved.map(|(id, _)| *id).collect();
        let keys = self.history.key_indices();
        let has_moved = |key: &KeyIndex| moved.contains(&self.keys[usize::from(key.0)].2);
        self.evidence.moved_keys = keys.filter(has_moved).collect();
        self.evidence.minted = observer.minted;
        self.evidence.stored = observer.stored;
        self.evidence.asked = observer.asked;
        self.evidence.collected = observer.collected;
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
