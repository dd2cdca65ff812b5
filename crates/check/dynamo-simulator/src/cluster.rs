//! A cluster in one thread: nodes, network, disks, clients and faults under one virtual clock.
//!
//! Everything that happens is a [`Happening`] in one queue. A node's events wait in its inbox until
//! its next turn, as in the shell's event loop: a turn hands them to the machine, does what the
//! machine asks, and arms its timer again.

mod audit;
mod changes;
mod clients;
mod faults;
mod genesis;
mod media;
mod membership;
mod turn;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use dynamo_checker::evidence::Evidence;
use dynamo_checker::history::{History, HostIndex, KeyIndex, WriteId};
use dynamo_messages::{ClusterChange, Reply, Request};
use dynamo_protocol::{Column, Event, LoadId, MemberInfo, Node, NodeConfig, ScanId};
use dynamo_register::Epoch;
use dynamo_ring::ReplicaSet;
use dynamo_types::{ClusterId, Instant, NodeId, Now, ObjectName, PartitionId};
use dynamo_versioning::{ContextKey, DotSet};

use crate::disk::Disk;
use crate::markers::Markers;
use crate::network::{Network, NetworkEvent};
use crate::observer::Observer;
use crate::options::SeedOptions;
use crate::queue::EventQueue;
use crate::random::Stream;
use crate::trace::Trace;
use crate::wall_clock::WallClock;
use crate::workload::{Client, WorkloadBucket};

pub use faults::FaultEnd;

/// A run that takes more steps than this goes in circles. Usual runs take a hundredth.
const STEPS_MAX: u64 = 5_000_000;

/// What a client is told about one attempt.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The node answered.
    Reply(Reply),
    /// Nothing listened there: the request did nothing.
    Refused,
    /// The connection broke while the request was under way.
    Broken,
}

/// Something that will happen.
#[derive(Debug)]
pub enum Happening {
    /// In the network.
    Network(NetworkEvent),
    /// A node looks into its inbox.
    Turn {
        /// Which node.
        host: HostIndex,
        /// Void for another process.
        process: u64,
    },
    /// A node's timer is due.
    Timer {
        /// Which node.
        host: HostIndex,
        /// Void for another process.
        process: u64,
    },
    /// A group of stores has ended.
    Committed {
        /// On which node.
        host: HostIndex,
        /// Void for another process.
        process: u64,
    },
    /// A read of the disk has ended.
    Loaded {
        /// On which node.
        host: HostIndex,
        /// Void for another process.
        process: u64,
        /// Which load.
        load: LoadId,
        /// Which column.
        column: Column,
        /// Which row.
        key: Bytes,
    },
    /// A scan of the disk has ended.
    Scanned {
        /// On which node.
        host: HostIndex,
        /// Void for another process.
        process: u64,
        /// What was asked.
        scan: PendingScan,
    },
    /// A client begins its next operation.
    ClientWakes(usize),
    /// A client's request reaches a node.
    RequestArrives {
        /// Which attempt.
        attempt: u64,
        /// What it asks.
        request: Box<Request>,
    },
    /// A client learns what became of an attempt.
    AnswerArrives {
        /// Which attempt.
        attempt: u64,
        /// What it learns.
        answer: Box<Answer>,
    },
    /// A client has waited long enough for an attempt.
    AttemptTimesOut {
        /// Which attempt.
        attempt: u64,
    },
    /// A client sends its request to a second node, if the first has not answered yet.
    Double {
        /// Which client.
        client: usize,
        /// Which of its operations.
        serial: u64,
    },
    /// An operator commits what was planned, if the answer is there.
    OperatorCommits {
        /// The attempt at the plan.
        attempt: u64,
        /// Where.
        host: HostIndex,
        /// What was planned.
        changes: Vec<ClusterChange>,
    },
    /// The next fault strikes.
    Fault,
    /// A fault ends.
    FaultEnds(FaultEnd),
}

/// A scan that is under way.
#[derive(Debug)]
pub struct PendingScan {
    scan: ScanId,
    column: Column,
    from: Bytes,
    to: Option<Bytes>,
    limits: (usize, usize),
}

/// Who waits for an attempt.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// None for the audit after healing.
    client: Option<(usize, u64)>,
    host: HostIndex,
    /// The process that has it, once it arrived.
    process: Option<u64>,
}

/// One machine of the cluster.
#[derive(Debug)]
pub(crate) struct Host {
    id: NodeId,
    pub(crate) machine: Option<Node>,
    process: u64,
    inbox: VecDeque<Event>,
    turn_pending: bool,
    pub(crate) paused: bool,
    /// When the armed timer fires.
    armed: Option<Instant>,
    pub(crate) disk: Disk,
    wall: WallClock,
    /// What the process's own clock showed when the run began.
    monotonic_base: u64,
    dies_mid_turn: bool,
    /// The shell knows that the disk was lost, and the node has not noted it yet.
    disk_lost: bool,
    /// Until when it may not have heard again how buckets are set, after its disk was lost.
    hears_until: Instant,
    /// How often it came up with another address.
    moves: u32,
    /// Where its shell was told that the members are.
    addresses: BTreeMap<NodeId, String>,
}

impl Host {
    fn now(&self, now: Instant) -> Now {
        Now { monotonic: Instant(self.monotonic_base + now.0), wall: self.wall.at(now) }
    }
}

/// The clients' and the audit's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Answered as asked.
    pub ok: u64,
    /// Certainly without effect, reads included.
    pub failed: u64,
    /// Writes of which nobody can say.
    pub unknown: u64,
}

/// A cluster and all around it.
#[derive(Debug)]
pub struct Cluster {
    options: SeedOptions,
    pub(crate) now: Instant,
    pub(crate) queue: EventQueue<Happening>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) config: NodeConfig,
    pub(crate) network: Network,
    clients: Vec<Client>,
    buckets: Vec<WorkloadBucket>,
    /// Keys with the place of their bucket.
    keys: Vec<(ObjectName, usize, PartitionId)>,
    key_of_row: BTreeMap<Bytes, KeyIndex>,
    attempts: BTreeMap<u64, Attempt>,
    attempt_counter: u64,
    process_counter: u64,
    audit_answers: BTreeMap<u64, Answer>,
    random: Stream,
    fault_random: Stream,
    context_key: ContextKey,
    cluster_id: ClusterId,
    storm: bool,
    healed_at: Instant,
    /// Whose rows of meta were damaged.
    meta_damaged_at: Option<HostIndex>,
    /// Where rows of each partition were damaged, and where they vanished.
    rows_damaged_in: BTreeMap<PartitionId, BTreeSet<HostIndex>>,
    rows_vanished_in: BTreeMap<PartitionId, HostIndex>,
    pub(crate) object_rows_written: u64,
    /// What contexts each write carried, opened.
    contexts: BTreeMap<WriteId, DotSet>,
    observer: Observer,
    /// Nodes that are no members at genesis.
    spares: Vec<MemberInfo>,
    /// Nodes that operators have taken out: on two sides of a split they do not know of each other, and
    /// together they must leave N.
    taken_out: u8,
    /// The set of each epoch of each partition, as anybody has written it down.
    epochs: BTreeMap<(PartitionId, Epoch), ReplicaSet>,
    history: History,
    evidence: Evidence,
    /// What happened how often.
    pub markers: Markers,
    /// The clients' outcomes.
    pub operations: OperationCounts,
    /// What the machines counted, all processes together.
    pub machine_counters: BTreeMap<&'static str, u64>,
    /// Step by step.
    pub trace: Trace,
}

impl Cluster {
    /// Runs the whole seed: a calm start, the storm, healing, and the audit.
    pub fn run(&mut self) {
        self.start_all();
        self.advance_to(Instant(2_000_000_000));
        self.declare_buckets();
        let ends = self.now + self.options.duration;
        self.begin_storm();
        self.advance_to(ends);
        self.heal();
        self.audit();
    }

    /// The evidence for the checks, after the run, and what was counted.
    #[must_use]
    pub fn into_evidence(mut self) -> (Evidence, Markers, BTreeMap<&'static str, u64>) {
        self.collect_evidence();
        (self.evidence, self.markers, self.machine_counters)
    }

    /// The time of the run.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn host(&mut self, host: HostIndex) -> &mut Host {
        &mut self.hosts[host.index()]
    }

    pub(crate) fn host_indices(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..self.options.nodes).map(HostIndex)
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        self.queue.push(self.now + after, happening);
    }

    /// Lets everything happen that is due until then.
    pub(crate) fn advance_to(&mut self, until: Instant) {
        while self.queue.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Lets the next thing happen.
    fn step(&mut self) {
        let Some((at, happening)) = self.queue.pop() else { return };
        debug_assert!(at >= self.now, "time does not run backwards");
        self.now = at;
        assert!(self.trace.events() < STEPS_MAX, "the run goes in circles");
        self.dispatch(happening);
    }

    fn dispatch(&mut self, happening: Happening) {
        match happening {
            Happening::Network(event) => self.network_happens(event),
            Happening::Turn { host, process } => {
                if self.is_current(host, process) {
                    self.turn(host);
                }
            }
            Happening::Timer { host, process } => {
                if self.is_current(host, process) {
                    let now = self.now;
                    let host_state = self.host(host);
                    // An earlier deadline may have been armed since: that one's event is due then.
                    if host_state.armed.is_some_and(|at| at <= now) {
                        host_state.armed = None;
                        self.turn(host);
                    }
                }
            }
            Happening::Committed { host, process } => {
                if self.is_current(host, process) {
                    self.commit(host);
                }
            }
            Happening::Loaded { host, process, load, column, key } => {
                if self.is_current(host, process) {
                    let row = self.load(host, column, &key);
                    self.deliver(host, Event::Loaded { load, row });
                }
            }
            Happening::Scanned { host, process, scan } => {
                if self.is_current(host, process) {
                    let disk = &self.hosts[host.index()].disk;
                    let (rows, end) =
                        disk.scan(scan.column, &scan.from, scan.to.as_ref(), scan.limits);
                    let event = Event::Scanned { scan: scan.scan, rows, end, failed: None };
                    self.deliver(host, event);
                }
            }
            Happening::ClientWakes(client) => self.client_wakes(client),
            Happening::RequestArrives { attempt, request } => {
                self.request_arrives(attempt, *request);
            }
            Happening::AnswerArrives { attempt, answer } => self.answer_arrives(attempt, *answer),
            Happening::AttemptTimesOut { attempt } => self.attempt_times_out(attempt),
            Happening::Double { client, serial } => self.double(client, serial),
            Happening::OperatorCommits { attempt, host, changes } => {
                self.operator_commits(attempt, host, changes);
            }
            Happening::Fault => self.fault(),
            Happening::FaultEnds(end) => self.fault_ends(end),
        }
    }

    fn is_current(&self, host: HostIndex, process: u64) -> bool {
        let host = &self.hosts[host.index()];
        host.machine.is_some() && host.process == process
    }

    fn network_happens(&mut self, event: NetworkEvent) {
        let news = self.network.handle(self.now, event, &mut self.markers);
        for (host, event) in news {
            self.deliver(host, event);
        }
    }
}
