//! The clients: what they remember of each key, and what they do next.

use std::collections::{BTreeMap, VecDeque};

use dynamo_checker::history::{HostIndex, KeyIndex, WriteId};
use dynamo_types::{Bucket, BucketSettings, Durability, Instant, Profile, Replication};

use crate::random::Stream;

/// How many contexts of a key a client remembers: enough for stale ones.
const REMEMBERED: usize = 4;

/// A bucket of the workload.
#[derive(Debug, Clone)]
pub struct WorkloadBucket {
    /// Its name.
    pub bucket: Bucket,
    /// Its settings.
    pub settings: BucketSettings,
    /// Whether the settings are put; if not, they are the defaults.
    pub declared: bool,
    /// How many operations of a hundred go here.
    pub share: u64,
}

/// The buckets: every profile in both durabilities, and one that nobody declared.
#[must_use]
pub fn buckets(n: Replication, random: &mut Stream) -> Vec<WorkloadBucket> {
    let plan = [
        ("plain", Profile::BusinessLogic, Durability::Synced, false, 30),
        ("carts", Profile::BusinessLogic, Durability::Synced, true, 20),
        ("carts.b", Profile::BusinessLogic, Durability::Buffered, true, 14),
        ("sessions", Profile::Timestamp, Durability::Synced, true, 14),
        ("sessions.b", Profile::Timestamp, Durability::Buffered, true, 6),
        ("catalogue", Profile::ReadEngine, Durability::Synced, true, 10),
        ("catalogue.b", Profile::ReadEngine, Durability::Buffered, true, 6),
    ];
    plan.into_iter()
        .map(|(name, profile, durability, declared, share)| {
            let mut settings = BucketSettings::of_profile(profile, n);
            settings.durability = durability;
            if declared && random.chance(300) {
                let most = u64::from(n.get());
                settings.r = u8::try_from(random.between(1, most)).expect("at most n");
                settings.w = u8::try_from(random.between(1, most)).expect("at most n");
            }
            let bucket = Bucket::new(name).expect("names above are good");
            WorkloadBucket { bucket, settings, declared, share }
        })
        .collect()
}

/// A context, and the writes that its client had seen when it got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// As the node gave it.
    pub context: String,
    /// What the reply showed.
    pub parents: Vec<WriteId>,
}

/// What a client remembers of a key.
#[derive(Debug, Clone, Default)]
pub struct KeyMemory {
    /// Contexts of reads, the latest last.
    pub reads: VecDeque<Known>,
    /// The context of the latest put.
    pub put: Option<Known>,
}

impl KeyMemory {
    /// Remembers a read's context.
    pub fn remember(&mut self, known: Known) {
        if self.reads.len() == REMEMBERED {
            self.reads.pop_front();
        }
        self.reads.push_back(known);
    }
}

/// What follows a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// A value that replaces what was read.
    Put,
    /// A tombstone that replaces what was read.
    Delete,
}

/// What a client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Read, and perhaps write what follows from it.
    Read(Then),
    /// Put without a context.
    BlindPut,
    /// Put with a remembered context that may be old.
    StalePut,
    /// Put with the context of the latest put.
    ChainedPut,
    /// Put with two remembered contexts.
    TwoContextPut,
    /// Delete without a context.
    UnseenDelete,
    /// List the bucket.
    List,
}

/// Draws what a client does next.
pub fn draw_intent(random: &mut Stream) -> Intent {
    match random.below(100) {
        0..22 => Intent::Read(Then::Nothing),
        22..52 => Intent::Read(Then::Put),
        52..66 => Intent::BlindPut,
        66..75 => Intent::StalePut,
        75..85 => Intent::ChainedPut,
        85..89 => Intent::TwoContextPut,
        89..94 => Intent::Read(Then::Delete),
        94..97 => Intent::UnseenDelete,
        _ => Intent::List,
    }
}

/// What an operation is for.
#[derive(Debug, Clone)]
pub enum Goal {
    /// The values of a key.
    Read {
        /// Which.
        key: KeyIndex,
        /// The r that counts.
        r: u8,
        /// Whether only replicas may answer.
        strict: bool,
        /// What follows.
        then: Then,
    },
    /// A write of the history.
    Write(WriteId),
    /// A page of a bucket's keys.
    List,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No answer yet.
    Open,
    /// It failed, and certainly did nothing.
    Failed,
    /// It may have done something.
    Unknown,
}

/// What a client is doing.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Counts the client's operations.
    pub serial: u64,
    /// What for.
    pub goal: Goal,
    /// What is sent.
    pub request: dynamo_messages::Request,
    /// When it began.
    pub began: Instant,
    /// Attempts so far, by number.
    pub attempts: BTreeMap<u64, Standing>,
    /// Attempts at most.
    pub attempts_max: usize,
    /// The node of the first attempt.
    pub first_host: HostIndex,
}

impl Operation {
    /// Whether all attempts have ended and none may have done anything.
    #[must_use]
    pub fn certainly_failed(&self) -> bool {
        self.attempts.values().all(|standing| *standing == Standing::Failed)
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its luck.
    pub random: Stream,
    /// What it remembers.
    pub memory: BTreeMap<KeyIndex, KeyMemory>,
    /// What it is doing.
    pub current: Option<Operation>,
    /// Operations begun.
    pub serial: u64,
    /// The node that it prefers.
    pub favourite: HostIndex,
}
