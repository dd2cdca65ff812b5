//! A client at work: the simulator's mix of operations, asked of real nodes.
//!
//! A session does one thing at a time, as a person does. What it learns it keeps: contexts of its
//! latest reads and of its latest put, for writes with fresh, stale and joined contexts.

mod over_http;
mod over_native;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamo_checker::history::{HostIndex, KeyIndex, WriteId, WriteKind};
use dynamo_client::Client;
use dynamo_messages::Receipt;
use dynamo_simulator::random::Stream;
use dynamo_simulator::workload::{Intent, KeyMemory, Known, Then, draw_intent};
use tokio::sync::watch;

use crate::clock;
use crate::cluster::{HttpAddresses, REPLICATION};
use crate::http::{HttpClient, Query, ShownValue};
use crate::observations::{AnsweredRead, BegunWrite, Recorder};
use crate::workload::{Workload, sees_unseen_deletes, uses_any_quorum};

/// The longest that a client thinks between two operations.
const THINK_MAX: Duration = Duration::from_millis(40);
/// The shortest and longest that a client waits for an answer: some give up before nodes do.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));
/// Attempts at one write, the first included.
const ATTEMPTS_MAX: u64 = 3;

/// How a session asks.
#[derive(Debug)]
pub enum Way {
    /// Over HTTP, nodes directly.
    Http(HttpClient, HttpAddresses),
    /// With the client library, which finds its replicas.
    Native(Client),
}

/// A client.
#[derive(Debug)]
pub struct Session {
    number: u16,
    random: Stream,
    memory: BTreeMap<KeyIndex, KeyMemory>,
    way: Way,
    patience: Duration,
    favourite: HostIndex,
    workload: Arc<Workload>,
    recorder: Recorder,
}

/// How a write came out.
#[derive(Debug)]
enum Sent {
    /// Stored, through that node.
    Stored(HostIndex, (String, Receipt)),
    /// Certainly not applied.
    Failed,
    /// Nobody can say.
    Unknown,
}

/// What a write sends, in all its attempts.
#[derive(Debug)]
struct Writing {
    id: WriteId,
    key: KeyIndex,
    value: Option<Bytes>,
    contexts: Vec<String>,
    query: Query,
}

impl Session {
    /// A client that has done nothing yet.
    #[must_use]
    pub fn new(
        number: u16,
        seed: u64,
        way: Way,
        workload: Arc<Workload>,
        recorder: Recorder,
    ) -> Self {
        let mut random = Stream::new(seed, &format!("client {number}"));
        let patience = random.duration_by_magnitude(PATIENCE.0, PATIENCE.1);
        Self {
            number,
            random,
            memory: BTreeMap::new(),
            way,
            patience,
            favourite: HostIndex(0),
            workload,
            recorder,
        }
    }

    /// Works until told to stop, and ends what it does then.
    pub async fn run(mut self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let key = self.workload.draw_key(&mut self.random);
            let intent = draw_intent(&mut self.random);
            self.perform(key, intent).await;
            let think = self.random.duration(Duration::ZERO, THINK_MAX);
            // Now and then a client hurries, so that its operations touch.
            clock::pass(if self.random.chance(300) { think / 20 } else { think }).await;
        }
    }

    async fn perform(&mut self, key: KeyIndex, intent: Intent) {
        let memory = self.memory.entry(key).or_default();
        let known: Vec<Known> = match intent {
            Intent::Read(then) => return self.read_then(key, then).await,
            Intent::List => return self.list(key).await,
            Intent::UnseenDelete if sees_unseen_deletes(key) => {
                return self.write(key, WriteKind::DeleteUnseen, Vec::new()).await;
            }
            Intent::UnseenDelete => return self.read_then(key, Then::Delete).await,
            Intent::BlindPut => Vec::new(),
            Intent::StalePut => memory.reads.front().cloned().into_iter().collect(),
            Intent::ChainedPut => memory.put.clone().into_iter().collect(),
            Intent::TwoContextPut => {
                let second = memory.put.as_ref().or(memory.reads.back());
                memory.reads.front().into_iter().chain(second).cloned().collect()
            }
        };
        self.write(key, WriteKind::Value, known).await;
    }

    fn draw_query(&mut self, any_quorum: bool) -> Query {
        let quorum = |random: &mut Stream, least: u8| {
            let any = any_quorum && random.chance(250);
            let drawn = any.then(|| random.between(least.into(), REPLICATION.into()));
            drawn.map(|drawn| u8::try_from(drawn).expect("at most N"))
        };
        let w_min = self.workload.w_min;
        let random = &mut self.random;
        Query {
            r: quorum(random, 1),
            w: quorum(random, w_min),
            strict: random.chance(100),
            timeout_ms: random
                .chance(300)
                .then(|| u32::try_from(random.magnitude(50, 4_000)).expect("small")),
        }
    }

    async fn read_then(&mut self, key: KeyIndex, then: Then) {
        let mut query = Query { w: None, ..self.draw_query(true) };
        // The sharpest check of reads is of those that no fallback may answer.
        query.strict |= self.random.chance(300);
        self.change_favourite();
        let invoked = self.recorder.now();
        let Some((values, context)) = self.get(key, query).await else {
            return self.recorder.count(false);
        };
        let known = self.recorder.read(AnsweredRead {
            key,
            client: self.number,
            host: self.host(),
            r: query.r.unwrap_or(self.workload.bucket_of(key).settings.r),
            strict: query.strict,
            invoked,
            values,
            context,
            after_convergence: false,
        });
        self.memory.entry(key).or_default().remember(known.clone());
        match then {
            Then::Nothing => {}
            Then::Put => self.write(key, WriteKind::Value, vec![known]).await,
            Then::Delete => self.write(key, WriteKind::Delete, vec![known]).await,
        }
    }

    async fn write(&mut self, key: KeyIndex, kind: WriteKind, known: Vec<Known>) {
        let query = Query { r: None, ..self.draw_query(uses_any_quorum(key)) };
        self.change_favourite();
        let padding = self.random.chance(20).then(|| self.random.below(20_000));
        let padding = padding.unwrap_or_else(|| self.random.below(64));
        let contexts = known.iter().map(|known| known.context.clone()).collect();
        let (id, value) = self.recorder.begin_write(BegunWrite {
            key,
            client: self.number,
            kind,
            known,
            w: query.w.unwrap_or(self.workload.bucket_of(key).settings.w),
            padding: usize::try_from(padding).expect("small"),
        });
        let writing = Writing { id, key, value, contexts, query };
        match self.send(&writing).await {
            Sent::Stored(host, stored) => {
                let known = self.recorder.stored(id, host, stored);
                self.memory.entry(key).or_default().put = known;
            }
            Sent::Failed => self.recorder.given_up(id, true),
            Sent::Unknown => self.recorder.given_up(id, false),
        }
    }

    /// Now and then a client takes to another node.
    fn change_favourite(&mut self) {
        if self.random.chance(200) {
            self.favourite = self.draw_host();
        }
    }

    fn draw_host(&mut self) -> HostIndex {
        let nodes: Vec<HostIndex> = crate::cluster::nodes().collect();
        *self.random.pick(&nodes)
    }
}

/// What a read shows.
type Shown = (Vec<ShownValue>, String);
