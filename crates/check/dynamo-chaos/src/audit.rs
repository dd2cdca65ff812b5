//! After the faults: what the healed cluster shows, until it is enough for a verdict.
//!
//! Whatever cannot be found out is said so: a verdict without it would be a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dynamo_checker::evidence::KnownOfCluster;
use dynamo_checker::history::{HostIndex, KeyIndex, Outcome, WriteId, WriteKind};
use dynamo_simulator::random::Stream;
use dynamo_types::Instant;
use dynamo_versioning::Dot;

use crate::bridge;
use crate::clock;
use crate::cluster::{Cluster, HttpAddresses, REPLICATION, nodes};
use crate::http::{Answer, Change, Explained, HttpClient, NoAnswer, Query};
use crate::observations::{AnsweredRead, Recorder, SentWrite};
use crate::workload::Workload;

/// How long nodes may take to become ready again, and replicas to come to hold the same. Far beyond
/// what a healthy cluster needs; a test that waits so long has found something.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rounds of reads until one writes nothing; beyond that the cluster does not fall silent.
const ROUNDS_MAX: u32 = 12;
/// Read repair begins 100 ms after the answer; what a round of reads caused has begun after this.
const REPAIR_BEGINS_WITHIN: Duration = Duration::from_millis(400);
/// Writes that are sent once more at the end. Enough for several of each kind of bucket.
const RETRIES_MAX: usize = 40;
/// What nodes call the writes of other nodes that they stored.
const REPLICA_WRITES: &str = "dynamo_replica_writes_total";
/// The client number under which the audit reads.
const AUDITOR: u16 = 999;

/// Who makes replicas agree after healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Convergence {
    /// Every key is read, and reads repair.
    Reads,
    /// Nobody asks: the nodes do it by themselves.
    Alone,
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditError {
    /// A node does not run, or does not become ready.
    NodeGone(String),
    /// Replicas do not come to hold the same. The evidence that there is shows where.
    NotSettled(Vec<KeyIndex>),
    /// Something could not be found out.
    Unknown(String),
}

/// Looks at a healed cluster.
#[derive(Debug)]
pub struct Auditor<'a> {
    cluster: &'a mut Cluster,
    http: HttpClient,
    addresses: HttpAddresses,
    workload: &'a Workload,
    recorder: &'a Recorder,
    random: Stream,
    audit: bridge::Audit,
    settled: Option<tokio::time::Instant>,
}

impl<'a> Auditor<'a> {
    /// An auditor who has seen nothing yet.
    #[must_use]
    pub fn new(
        cluster: &'a mut Cluster,
        workload: &'a Workload,
        recorder: &'a Recorder,
        seed: u64,
    ) -> Self {
        let addresses = cluster.http();
        let random = Stream::new(seed, "audit");
        let (http, audit) = (HttpClient::default(), bridge::Audit::default());
        Self { cluster, http, addresses, workload, recorder, random, audit, settled: None }
    }

    /// When all replicas were first seen to hold the same, with no hint left.
    #[must_use]
    pub fn settled(&self) -> Option<tokio::time::Instant> {
        self.settled
    }

    /// What was found.
    #[must_use]
    pub fn into_audit(self) -> bridge::Audit {
        self.audit
    }

    fn address(&self, host: HostIndex) -> Result<SocketAddr, AuditError> {
        let missing = || AuditError::NodeGone(format!("{host} never listened"));
        self.addresses.get(host).ok_or_else(missing)
    }

    fn draw_host(&mut self) -> HostIndex {
        let nodes: Vec<HostIndex> = nodes().collect();
        *self.random.pick(&nodes)
    }

    fn check_running(&mut self) -> Result<(), AuditError> {
        self.cluster.check_running().map_err(|error| AuditError::NodeGone(format!("{error:#}")))
    }

    /// Waits until all nodes are ready and connected with each other. Until then a request may fail for
    /// want of replicas, as it may while links are cut.
    ///
    /// # Errors
    /// One of them is gone, or does not come so far in time.
    pub async fn wait_ready(&mut self) -> Result<(), AuditError> {
        let deadline = clock::now() + SETTLE_WITHIN;
        for host in nodes() {
            while let Some(lacking) = self.lacking(host).await? {
                self.check_running()?;
                if clock::now() >= deadline {
                    let log = self.cluster.log_end(host);
                    return Err(AuditError::NodeGone(format!("{host} {lacking}\n{log}")));
                }
                clock::pause().await;
            }
        }
        Ok(())
    }

    /// What a node lacks to serve every request, in words that follow its name.
    async fn lacking(&self, host: HostIndex) -> Result<Option<String>, AuditError> {
        let address = self.address(host)?;
        if !self.http.is_ready(address, PATIENCE).await {
            return Ok(Some("is not ready".to_owned()));
        }
        let members = match self.http.cluster(address, PATIENCE).await {
            Ok((members, _)) => members,
            Err(error) => return Ok(Some(format!("does not tell its members: {error}"))),
        };
        let missing = members.iter().find(|member| !member.reachable);
        Ok(missing.map(|member| format!("has no connection to {}", member.node)))
    }

    /// Waits until all replicas of all keys hold the same and nobody keeps hints, and gathers the
    /// evidence.
    ///
    /// # Errors
    /// It does not come so far, or something cannot be found out.
    pub async fn look(&mut self, convergence: Convergence) -> Result<(), AuditError> {
        self.settle(convergence).await?;
        self.settled = Some(clock::now());
        self.read_until_silent().await?;
        // Reading was the last that could still change something.
        self.settle(Convergence::Alone).await?;
        self.audit.settled_at = Some(self.recorder.now());
        let before = self.audit.explained.clone();
        self.send_again().await?;
        self.settle(Convergence::Alone).await?;
        self.compare(before);
        self.write_everywhere().await?;
        self.agree().await?;
        self.check_running()
    }

    /// Waits until all nodes know the same of the cluster, and notes what they know.
    async fn agree(&mut self) -> Result<(), AuditError> {
        let deadline = clock::now() + SETTLE_WITHIN;
        loop {
            let mut known = BTreeMap::new();
            for host in nodes() {
                known.insert(host, self.known_of_cluster(host).await?);
            }
            let mut all = known.values();
            let agree = all
                .next()
                .is_none_or(|first| first.mistakes.is_empty() && all.all(|other| other == first));
            if agree || clock::now() >= deadline {
                self.audit.known_of_cluster = known;
                return Ok(());
            }
            self.check_running()?;
            clock::pause().await;
        }
    }

    async fn known_of_cluster(&mut self, host: HostIndex) -> Result<KnownOfCluster, AuditError> {
        let address = self.address(host)?;
        let known = self.http.cluster(address, PATIENCE).await;
        let (members, buckets) =
            known.map_err(|error| AuditError::Unknown(format!("{host}: {error}")))?;
        let ids = self.cluster.secrets().nodes;
        let mut mistakes = Vec::new();
        for (other, id) in nodes().zip(&ids) {
            // Only the proxy's addresses go through the proxy.
            let front = self.cluster.proxy().front(other).to_string();
            match members.iter().find(|member| member.node == *id) {
                None => mistakes.push(format!("does not know {other}")),
                Some(member) if member.liveness != "up" => {
                    mistakes.push(format!("holds {other}, which runs, for {}", member.liveness));
                }
                Some(member) if member.address != front => {
                    mistakes.push(format!("looks for {other} at {}, not {front}", member.address));
                }
                Some(_) => {}
            }
        }
        let details: Vec<&str> = members.iter().map(|member| member.details.as_str()).collect();
        let members = digest(&details.join("\n"));
        Ok(KnownOfCluster { members, buckets: digest(&buckets), mistakes })
    }

    async fn explain(&mut self, key: KeyIndex) -> Result<Explained, AuditError> {
        let host = self.draw_host();
        let address = self.address(host)?;
        let explained = self.http.explain(address, self.workload.name(key), PATIENCE).await;
        explained.map_err(|error| AuditError::Unknown(format!("{host}: {error}")))
    }

    /// Looks at all keys until all are settled; the last explanation of each is kept.
    async fn settle(&mut self, convergence: Convergence) -> Result<(), AuditError> {
        let deadline = clock::now() + SETTLE_WITHIN;
        let mut unsettled: Vec<KeyIndex> = self.workload.key_indices().collect();
        let mut last_error = None;
        loop {
            let mut left = Vec::new();
            for key in unsettled {
                match self.explain(key).await {
                    Ok(explained) => {
                        if !explained.is_settled() {
                            left.push(key);
                        }
                        self.audit.explained.insert(key, explained);
                    }
                    Err(error) => {
                        last_error = Some(error);
                        left.push(key);
                    }
                }
            }
            unsettled = left;
            if unsettled.is_empty() {
                return Ok(());
            }
            self.check_running()?;
            if clock::now() >= deadline {
                return Err(match self.untold(&unsettled) {
                    Some(untold) => last_error.unwrap_or(untold),
                    None => AuditError::NotSettled(unsettled),
                });
            }
            if convergence == Convergence::Reads {
                for key in &unsettled {
                    let host = self.draw_host();
                    // A read that fails is made again in the next round.
                    let read = self.read(*key, host, false).await;
                    if let Err(NoAnswer::NotSent) = read {
                        self.check_running()?;
                    }
                }
            }
            clock::pause().await;
        }
    }

    /// Of which of these keys a replica does not say what it holds.
    fn untold(&self, keys: &[KeyIndex]) -> Option<AuditError> {
        let untold = |key: &KeyIndex| match self.audit.explained.get(key) {
            None => Some("nobody explains it".to_owned()),
            Some(explained) => {
                let replica = explained.replicas.iter().find(|replica| !replica.is_known())?;
                Some(format!("{} is {}", replica.node, replica.state))
            }
        };
        let (key, why) = keys.iter().find_map(|key| Some((key, untold(key)?)))?;
        Some(AuditError::Unknown(format!("{}: {why}", self.workload.name(*key))))
    }

    /// Reads a key from all its replicas.
    async fn read(&mut self, key: KeyIndex, host: HostIndex, counts: bool) -> Result<(), NoAnswer> {
        let query = Query {
            r: Some(REPLICATION),
            strict: true,
            timeout_ms: Some(5_000),
            ..Query::default()
        };
        let address = self.addresses.get(host).ok_or(NoAnswer::NotSent)?;
        let name = self.workload.name(key);
        let invoked = self.recorder.now();
        let answer = self.http.get(address, name, query, PATIENCE).await?;
        let Answer::Object(values, context) = answer else {
            if counts {
                let failure = format!("{host} answers a get of {name} with {answer:?}");
                self.audit.failures.push(failure);
            }
            return Ok(());
        };
        match self.recorder.open(&context, name) {
            Ok(opened) => {
                self.audit.covered.entry(key).or_default().union_with(&opened.dots);
            }
            Err(error) => self.recorder.odd(error),
        }
        self.recorder.read(AnsweredRead {
            key,
            client: AUDITOR,
            host,
            r: REPLICATION,
            strict: true,
            invoked,
            values,
            context,
            after_convergence: counts,
        });
        Ok(())
    }

    /// Reads every key from every node until that causes no writes any more.
    async fn read_until_silent(&mut self) -> Result<(), AuditError> {
        let keys: Vec<KeyIndex> = self.workload.key_indices().collect();
        for round in 1..=ROUNDS_MAX {
            let before = self.replica_writes().await?;
            for host in nodes() {
                for key in &keys {
                    self.audit.requests += 1;
                    if let Err(error) = self.read(*key, host, true).await {
                        let name = self.workload.name(*key);
                        let failure = format!("{host} does not answer a get of {name}: {error:?}");
                        self.audit.failures.push(failure);
                    }
                }
            }
            clock::pass(REPAIR_BEGINS_WITHIN).await;
            let written = self.replica_writes().await?.saturating_sub(before);
            self.audit.quiet.rounds = round;
            self.audit.quiet.writes_in_last_round = written;
            if written == 0 {
                self.audit.quiet.reached = true;
                break;
            }
        }
        Ok(())
    }

    async fn replica_writes(&mut self) -> Result<u64, AuditError> {
        let mut sum = 0;
        for host in nodes() {
            let address = self.address(host)?;
            let count = self.http.counter(address, REPLICA_WRITES, PATIENCE).await;
            sum += count.ok_or_else(|| {
                AuditError::Unknown(format!("{host} does not tell {REPLICA_WRITES}"))
            })?;
        }
        Ok(sum)
    }

    /// Sends writes again that all replicas hold: each must be recognised.
    async fn send_again(&mut self) -> Result<(), AuditError> {
        let mut unknown = 0;
        let chosen = self.writes_held_everywhere();
        let unknown_max = 1 + chosen.len() / 10;
        for (id, sent) in chosen {
            let host = self.draw_host();
            let address = self.address(host)?;
            let (key, name) = {
                let observations = self.recorder.lock();
                let key = observations.history.write(id).key;
                (key, observations.history.key(key).name.clone())
            };
            let change = Change {
                name: &name,
                value: sent.value,
                contexts: &sent.contexts,
                idempotency_key: Some(&sent.idempotency_key),
                query: Query::default(),
            };
            let asked = self.recorder.now();
            self.recorder.attempt(id, host);
            self.audit.requests += 1;
            match self.http.change(address, &change, PATIENCE).await {
                Ok(Answer::Stored(context, _)) => self.note_retry(id, key, asked, &context),
                // A second version from the time of the faults, replaced and forgotten, is all that
                // the node that was asked knows: it claims nothing.
                Ok(Answer::Problem(kind)) if kind == "outcome-unknown" => unknown += 1,
                other => {
                    let failure = format!("{host} answers {id}, sent again, with {other:?}");
                    self.audit.failures.push(failure);
                }
            }
        }
        if unknown > unknown_max {
            let failure = format!("{unknown} writes that all replicas hold are not known again");
            self.audit.failures.push(failure);
        }
        Ok(())
    }

    /// Writes that were sent again made nothing and removed nothing but tombstones, which may be
    /// collected meanwhile. What was there before is what is judged.
    fn compare(&mut self, before: BTreeMap<KeyIndex, Explained>) {
        for (key, then) in &before {
            let Some(now) = self.audit.explained.get(key) else { continue };
            let all: BTreeSet<Dot> = then.siblings().map(|sibling| sibling.dot).collect();
            let living = |explained: &Explained| -> BTreeSet<Dot> {
                explained.siblings().filter(|s| !s.tombstone).map(|s| s.dot).collect()
            };
            let is_new = now.siblings().any(|sibling| !all.contains(&sibling.dot));
            if is_new || living(now) != living(then) {
                let name = self.workload.name(*key);
                let failure =
                    format!("{name} changed when writes were sent again: {then:?}, then {now:?}");
                self.audit.failures.push(failure);
            }
        }
        self.audit.explained = before;
    }

    fn note_retry(&mut self, id: WriteId, key: KeyIndex, asked: Instant, context: &str) {
        match self.recorder.open(context, self.workload.name(key)) {
            Ok(opened) => {
                let mut named = opened.dots;
                if let Some(before) = self.recorder.lock().contexts.get(&id) {
                    named.subtract(before);
                }
                self.audit.retried.push((id, asked, named));
            }
            Err(error) => self.recorder.odd(error),
        }
    }

    /// Acknowledged values of which every replica holds the version, chosen by the seed.
    fn writes_held_everywhere(&mut self) -> Vec<(WriteId, SentWrite)> {
        let observations = self.recorder.lock();
        let held: BTreeMap<WriteId, usize> = self
            .audit
            .explained
            .values()
            .flat_map(Explained::siblings)
            .filter_map(|sibling| observations.requests.get(&sibling.request))
            .fold(BTreeMap::new(), |mut held, write| {
                *held.entry(*write).or_default() += 1;
                held
            });
        let everywhere = held.into_iter().filter(|(_, copies)| *copies == usize::from(REPLICATION));
        let mut candidates: Vec<(WriteId, SentWrite)> = everywhere
            .filter(|(id, _)| {
                let write = observations.history.write(*id);
                write.kind == WriteKind::Value && matches!(write.outcome, Outcome::Acknowledged(_))
            })
            .filter_map(|(id, _)| Some((id, observations.sent.get(&id)?.clone())))
            .collect();
        drop(observations);
        let mut chosen = Vec::new();
        while !candidates.is_empty() && chosen.len() < RETRIES_MAX {
            let place = self.random.index(candidates.len());
            chosen.push(candidates.swap_remove(place));
        }
        chosen
    }

    /// A healed cluster takes writes: one to each key, over what is there, and it reads back.
    async fn write_everywhere(&mut self) -> Result<(), AuditError> {
        let keys: Vec<KeyIndex> = self.workload.key_indices().collect();
        for key in keys {
            let host = self.draw_host();
            self.audit.requests += 3;
            if let Err(failure) = self.write_over(key, host).await? {
                self.audit.failures.push(failure);
            }
        }
        Ok(())
    }

    async fn write_over(
        &mut self,
        key: KeyIndex,
        host: HostIndex,
    ) -> Result<Result<(), String>, AuditError> {
        let address = self.address(host)?;
        let name = self.workload.name(key);
        let get = || self.http.get(address, name, Query::default(), PATIENCE);
        let before = get().await;
        let Ok(Answer::Object(_, context)) = before else {
            return Ok(Err(format!("{host} answers a get of {name} with {before:?}")));
        };
        let value = Bytes::from(format!("after healing {}", key.0));
        // By replicas alone: a fallback that was quicker would do, and the read miss it.
        let change = Change {
            name,
            value: Some(value.clone()),
            contexts: &[context],
            idempotency_key: None,
            query: Query { strict: true, ..Query::default() },
        };
        let stored = self.http.change(address, &change, PATIENCE).await;
        let after = get().await;
        let is_stored = matches!(stored, Ok(Answer::Stored(..)));
        let reads_back = matches!(&after, Ok(Answer::Object(values, _))
            if values.iter().map(|shown| &shown.bytes).eq([&value]));
        // With r + w <= N a read may come from a replica that the write has not reached yet.
        let settings = self.workload.bucket_of(key).settings;
        let overlap = settings.r + settings.w > REPLICATION;
        if is_stored && (!overlap || reads_back) {
            return Ok(Ok(()));
        }
        Ok(Err(format!("{host}, {name} after healing: {stored:?}, then {after:?}")))
    }
}

fn digest(text: &str) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    u128::from_be_bytes(half)
}
