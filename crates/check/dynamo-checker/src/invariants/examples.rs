//! Hand-made evidence for the checks' own tests: one key on three replicas.

use dynamo_messages::Receipt;
use dynamo_types::{ActorId, Bucket, Durability, Instant, Key, ObjectName};
use dynamo_versioning::{Dot, Hlc};

use crate::causality::Ancestry;
use crate::evidence::{Evidence, HeldRecord, HeldVersion, Minted};
use crate::history::{
    Attempt, History, HostIndex, KeyFacts, KeyIndex, Outcome, Read, Seen, Write, WriteId, WriteKind,
};

/// The one key.
pub(crate) const KEY: KeyIndex = KeyIndex(0);
/// Its replicas.
pub(crate) const REPLICAS: [HostIndex; 3] = [HostIndex(0), HostIndex(1), HostIndex(2)];

/// A history in the making; time goes on by a second with every step.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) history: History,
    pub(crate) now: u64,
}

impl Example {
    pub(crate) fn new() -> Self {
        let name =
            ObjectName { bucket: Bucket::new("carts").unwrap(), key: Key::new("alice").unwrap() };
        let key = KeyFacts {
            name,
            last_write_wins: false,
            durability: Durability::Synced,
            replicas: REPLICAS.to_vec(),
            damaged_rows: 0,
        };
        Self { history: History { keys: vec![key], ..History::default() }, now: 0 }
    }

    pub(crate) fn tick(&mut self) -> Instant {
        self.now += 1;
        Instant(self.now * 1_000_000_000)
    }

    pub(crate) fn write(
        &mut self,
        kind: WriteKind,
        parents: &[WriteId],
        outcome: Outcome,
    ) -> WriteId {
        let invoked = self.tick();
        let ended = Some(self.tick());
        self.history.begin_write(Write {
            key: KEY,
            client: 1,
            kind,
            parents: parents.to_vec(),
            w: 2,
            invoked,
            ended,
            attempts: vec![Attempt { host: HostIndex(0), sent: invoked }],
            outcome,
        })
    }

    pub(crate) fn acknowledged(&mut self, parents: &[WriteId]) -> WriteId {
        self.write(WriteKind::Value, parents, acknowledged())
    }

    pub(crate) fn deleted(&mut self, parents: &[WriteId]) -> WriteId {
        self.write(WriteKind::Delete, parents, acknowledged())
    }

    pub(crate) fn read(&mut self, writes: &[WriteId]) {
        let invoked = self.tick();
        let ended = self.tick();
        self.history.reads.push(Read {
            key: KEY,
            client: 1,
            host: HostIndex(0),
            strict: true,
            r: 2,
            invoked,
            ended,
            values: writes.iter().copied().map(Seen::Write).collect(),
            after_convergence: false,
        });
    }

    /// The evidence in which every replica holds these writes' versions, all minted by node 0.
    pub(crate) fn evidence(self, held: &[WriteId]) -> Evidence {
        let mut evidence = Evidence {
            ancestry: Ancestry::new(&self.history, &std::collections::BTreeMap::new()),
            requests_after_healing: 1,
            ..Evidence::default()
        };
        evidence.quiet.reached = true;
        for id in (0..).map(WriteId).take(self.history.writes.len()) {
            let at = self.history.write(id).invoked;
            let minted = Minted { dot: dot(id), hlc: hlc(id), at, by: HostIndex(0) };
            if self.history.write(id).outcome != Outcome::Failed {
                evidence.minted.insert(id, vec![minted]);
            }
        }
        for host in REPLICAS {
            let record = HeldRecord {
                versions: held.iter().map(|id| version(&self.history, *id)).collect(),
                ..HeldRecord::default()
            };
            evidence.disks.insert((KEY, host), record);
        }
        evidence.history = self.history;
        evidence
    }
}

pub(crate) fn acknowledged() -> Outcome {
    Outcome::Acknowledged(Receipt { copies: 2, synced: 2, nodes: 2, zones: 1, hints: 0 })
}

pub(crate) fn dot(id: WriteId) -> Dot {
    Dot { actor: ActorId(1), counter: u64::from(id.0) + 1 }
}

pub(crate) fn hlc(id: WriteId) -> Hlc {
    Hlc(u64::from(id.0) + 1)
}

pub(crate) fn version(history: &History, id: WriteId) -> HeldVersion {
    HeldVersion {
        write: Some(id),
        dot: dot(id),
        hlc: hlc(id),
        tombstone: history.write(id).kind != WriteKind::Value,
        intact: true,
    }
}
