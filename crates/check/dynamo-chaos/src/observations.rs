//! What clients asked and were told, noted as it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dynamo_checker::history::{
    Attempt, History, HostIndex, KeyIndex, Outcome, Read, Seen, Write, WriteId, WriteKind,
};
use dynamo_checker::value::{self, Provenance};
use dynamo_messages::Receipt;
use dynamo_simulator::workload::Known;
use dynamo_types::{Instant, ObjectName, RequestId, WallTime};
use dynamo_versioning::{ClientContext, Dot, DotSet, Hlc};

use crate::clock::RunClock;
use crate::cluster::Secrets;
use crate::http::ShownValue;

/// The node of a history through which a native client asked: it chooses by itself, and does not say
/// whom.
pub const NATIVE: HostIndex = HostIndex(u8::MAX);

/// All that clients saw.
#[derive(Debug, Default)]
pub struct Observations {
    /// What they asked and were told.
    pub history: History,
    /// What the contexts that each write came with cover.
    pub contexts: BTreeMap<WriteId, DotSet>,
    /// What the contexts cover that acknowledgements came with, and the greatest timestamp in them.
    pub acknowledged: BTreeMap<WriteId, (DotSet, Hlc)>,
    /// The writes by the request ids that nodes know them by.
    pub requests: BTreeMap<RequestId, WriteId>,
    /// How long each value is.
    pub lengths: BTreeMap<WriteId, u64>,
    /// What was sent over HTTP under an idempotency key, so that it can be sent again.
    pub sent: BTreeMap<WriteId, SentWrite>,
    /// Dots that answers with several values showed, and when those were written.
    pub shown: Vec<(KeyIndex, Dot, WriteId, WallTime)>,
    /// Answers that break the interface.
    pub odd: Vec<String>,
    /// Requests that were answered as asked, that failed, and whose outcome nobody knows.
    pub counts: [u64; 3],
}

/// A write as it went over HTTP.
#[derive(Debug, Clone)]
pub struct SentWrite {
    /// The value; none to delete.
    pub value: Option<Bytes>,
    /// What it replaces.
    pub contexts: Vec<String>,
    /// The same in all attempts.
    pub idempotency_key: String,
}

/// Notes what clients see; shared by all of them.
#[derive(Debug, Clone)]
pub struct Recorder {
    observations: Arc<Mutex<Observations>>,
    clock: RunClock,
    secrets: Arc<Secrets>,
}

/// A read that was answered.
#[derive(Debug)]
pub struct AnsweredRead {
    /// Of which key.
    pub key: KeyIndex,
    /// By which client.
    pub client: u16,
    /// Through which node.
    pub host: HostIndex,
    /// How many replicas it wanted.
    pub r: u8,
    /// Whether only replicas might answer.
    pub strict: bool,
    /// When it was asked.
    pub invoked: Instant,
    /// What it showed.
    pub values: Vec<ShownValue>,
    /// The context that came with it.
    pub context: String,
    /// Whether all replicas had come to agree before it was asked.
    pub after_convergence: bool,
}

/// A write that is about to be asked.
#[derive(Debug)]
pub struct BegunWrite {
    /// To which key.
    pub key: KeyIndex,
    /// By which client.
    pub client: u16,
    /// What.
    pub kind: WriteKind,
    /// What it replaces.
    pub known: Vec<Known>,
    /// How many copies it wants.
    pub w: u8,
    /// Bytes of a value that carry nothing.
    pub padding: usize,
}

impl Recorder {
    /// A recorder of nothing yet.
    #[must_use]
    pub fn new(clock: RunClock, secrets: Secrets) -> Self {
        Self { observations: Arc::default(), clock, secrets: Arc::new(secrets) }
    }

    /// What is noted so far.
    pub fn lock(&self) -> MutexGuard<'_, Observations> {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of the run.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.moment()
    }

    /// Notes an answer that breaks the interface.
    pub fn odd(&self, what: String) {
        self.lock().odd.push(what);
    }

    /// What a context covers.
    ///
    /// # Errors
    /// It is not one that the cluster made for this object.
    pub fn open(&self, text: &str, name: &ObjectName) -> Result<ClientContext, String> {
        ClientContext::open(text, &self.secrets.context_key, self.secrets.cluster, name)
            .map_err(|error| format!("a context of {name}: {error}"))
    }

    /// Notes a write before it is sent; gives its id and value, none for a delete.
    pub fn begin_write(&self, begun: BegunWrite) -> (WriteId, Option<Bytes>) {
        let BegunWrite { key, client, kind, known, w, padding } = begun;
        let mut parents: Vec<WriteId> =
            known.iter().flat_map(|known| known.parents.iter().copied()).collect();
        parents.sort_unstable();
        parents.dedup();
        let invoked = self.now();
        let mut observations = self.lock();
        let name = observations.history.key(key).name.clone();
        let id = observations.history.begin_write(Write {
            key,
            client,
            kind,
            parents: parents.clone(),
            w,
            invoked,
            ended: None,
            attempts: Vec::new(),
            outcome: Outcome::Pending,
        });
        let mut covered = DotSet::new();
        for known in &known {
            match self.open(&known.context, &name) {
                Ok(context) => covered.union_with(&context.dots),
                Err(error) => observations.odd.push(error),
            }
        }
        observations.contexts.insert(id, covered);
        let value = (kind == WriteKind::Value)
            .then(|| value::encode(&Provenance { write: id, key, parents }, padding));
        let length = value.as_ref().map_or(0, Bytes::len);
        observations.lengths.insert(id, u64::try_from(length).expect("a length fits 64 bits"));
        (id, value)
    }

    /// The idempotency key of a write over HTTP. Nodes will know it under the request id that they
    /// make of it.
    pub fn idempotency_key(
        &self,
        write: WriteId,
        value: Option<Bytes>,
        contexts: &[String],
    ) -> String {
        let text = format!("write {}", write.0);
        let mut observations = self.lock();
        let sent = SentWrite { value, contexts: contexts.to_vec(), idempotency_key: text.clone() };
        observations.sent.insert(write, sent);
        let key = observations.history.write(write).key;
        let name = observations.history.key(key).name.clone();
        let request = request_of_idempotency_key(&self.secrets.secret, &name, text.as_bytes());
        observations.requests.insert(request, write);
        text
    }

    /// The request id of a write by a native client.
    pub fn request_id(&self, write: WriteId) -> RequestId {
        self.lock().requests.insert(write.request(), write);
        write.request()
    }

    /// Notes that a write is sent, again or for the first time.
    pub fn attempt(&self, write: WriteId, host: HostIndex) {
        let sent = self.now();
        self.lock().history.writes[write.index()].attempts.push(Attempt { host, sent });
    }

    /// Notes that a write was stored; gives what its client knows from then on.
    pub fn stored(
        &self,
        write: WriteId,
        host: HostIndex,
        (context, receipt): (String, Receipt),
    ) -> Option<Known> {
        let ended = self.now();
        let mut observations = self.lock();
        let of = &mut observations.history.writes[write.index()];
        of.outcome = Outcome::Acknowledged(receipt);
        of.ended = Some(ended);
        let (key, w, mut parents) = (of.key, of.w, of.parents.clone());
        parents.push(write);
        observations.counts[0] += 1;
        if receipt.copies < w {
            let odd = format!("{host} acknowledges {write} with {receipt:?} and not w={w}");
            observations.odd.push(odd);
        }
        let name = observations.history.key(key).name.clone();
        match self.open(&context, &name) {
            Ok(opened) => {
                observations.acknowledged.insert(write, (opened.dots, opened.hlc_max));
                Some(Known { context, parents })
            }
            Err(error) => {
                observations.odd.push(error);
                None
            }
        }
    }

    /// Notes that a write was given up.
    pub fn given_up(&self, write: WriteId, certainly_failed: bool) {
        let ended = self.now();
        let mut observations = self.lock();
        let outcome = if certainly_failed { Outcome::Failed } else { Outcome::Unknown };
        let of = &mut observations.history.writes[write.index()];
        of.outcome = outcome;
        of.ended = Some(ended);
        observations.counts[if certainly_failed { 1 } else { 2 }] += 1;
    }

    /// Notes something else that was answered as asked, or not at all.
    pub fn count(&self, answered: bool) {
        self.lock().counts[usize::from(!answered)] += 1;
    }

    /// Notes a read; gives what its client knows from then on.
    pub fn read(&self, answered: AnsweredRead) -> Known {
        let ended = self.now();
        let AnsweredRead {
            key,
            client,
            host,
            r,
            strict,
            invoked,
            values,
            context,
            after_convergence,
        } = answered;
        let mut observations = self.lock();
        let mut seen = Vec::with_capacity(values.len());
        for shown in &values {
            let value = see(key, &shown.bytes);
            if let (Seen::Write(write), Some((dot, at))) = (&value, shown.version) {
                observations.shown.push((key, dot, *write, at));
            }
            seen.push(value);
        }
        let read =
            Read { key, client, host, r, strict, invoked, ended, values: seen, after_convergence };
        let parents = read.writes().collect();
        observations.history.reads.push(read);
        observations.counts[0] += 1;
        Known { context, parents }
    }
}

/// What a value of a key says it is.
fn see(key: KeyIndex, bytes: &[u8]) -> Seen {
    match value::decode(bytes) {
        Ok(provenance) if provenance.key == key => Seen::Write(provenance.write),
        Ok(provenance) => Seen::Invention(format!("a value of another key: {provenance:?}")),
        Err(error) => Seen::Invention(error.to_string()),
    }
}

/// The request id that nodes make of an idempotency key: keyed with the cluster's secret, of bucket,
/// key and idempotency key, each after its length. If they come to do it otherwise, every version
/// written over HTTP is one that nobody wrote, which nobody will overlook.
fn request_of_idempotency_key(secret: &[u8; 32], name: &ObjectName, key: &[u8]) -> RequestId {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(b"idempotency key");
    for part in [name.bucket.as_bytes(), name.key.as_bytes(), key] {
        hasher.update(&u64::try_from(part.len()).expect("short").to_be_bytes());
        hasher.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    RequestId(u128::from_be_bytes(id))
}
