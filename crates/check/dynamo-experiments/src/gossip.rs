//! How long a decision takes to reach every node, and what it costs, by the real machine of
//! dynamo-membership under a virtual clock.
//!
//! Every message takes one millisecond and arrives: what is measured is the method, not a network.
//! Two rhythms: as we run it, where who learns something tells three others at once; and as the
//! paper has it, where each node contacts one random other a second and nothing more (Paper §4.8.1).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use dynamo_membership::{
    Gossip, GossipConfig, GossipEffect, GossipEvent, Member, MemberDetails, MemberStatus, Members,
    Stamp,
};
use dynamo_ring::Zone;
use dynamo_types::{Instant, NodeId};

use crate::chart::{Axis, Chart, Line, Scale};
use crate::table::Table;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sizes of clusters.
    pub nodes: Vec<usize>,
    /// Each is run so often.
    pub draws: u64,
    /// Where the draws begin.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: vec![3, 10, 30, 100, 300, 1000], draws: 5, seed: 0 }
    }
}

/// How news travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rhythm {
    AtOnce,
    EachSecond,
}

const RHYTHMS: [(Rhythm, &str); 2] =
    [(Rhythm::AtOnce, "at once"), (Rhythm::EachSecond, "each second")];

/// What one decision took.
#[derive(Debug, Clone, Copy)]
struct Spread {
    /// Until the last node knew.
    took: Duration,
    /// Sent by all from the decision until a second after the last node knew.
    bytes: usize,
    /// Messages in the same time.
    messages: usize,
    /// Sent by one node in a second in which nothing is new.
    idle_bytes_per_second: f64,
}

const LATENCY: Duration = Duration::from_millis(1);
/// Idle time that is measured before the decision.
const IDLE_SECONDS: u32 = 5;
/// No run takes so long unless gossip is broken.
const PATIENCE: Duration = Duration::from_secs(300);

/// Writes `gossip.csv`, `gossip-time.svg` and `gossip-bytes.svg` into a directory.
///
/// # Errors
/// When a file cannot be written, or gossip does not reach every node.
pub fn run(options: &Options, directory: &Path) -> Result<()> {
    let mut table = Table::new(&[
        "nodes",
        "rhythm",
        "draws",
        "mean_ms",
        "worst_ms",
        "messages_per_node",
        "bytes_per_node",
        "idle_bytes_per_second",
    ]);
    let (mut times, mut costs) = (Vec::new(), Vec::new());
    for (rhythm, name) in RHYTHMS {
        let (mut time, mut cost) = (Vec::new(), Vec::new());
        for &nodes in &options.nodes {
            let spreads = (0..options.draws).map(|draw| spread(nodes, rhythm, options.seed + draw));
            let spreads = spreads.collect::<Result<Vec<_>>>()?;
            let mean = |pick: &dyn Fn(&Spread) -> f64| {
                spreads.iter().map(pick).sum::<f64>() / spreads.len() as f64
            };
            let took = |s: &Spread| s.took.as_secs_f64() * 1e3;
            let per_node = |count: usize| count as f64 / nodes as f64;
            let bytes = mean(&|s| per_node(s.bytes));
            time.push((nodes as f64, mean(&took)));
            cost.push((nodes as f64, bytes));
            table.push(&[
                nodes.to_string(),
                name.to_owned(),
                options.draws.to_string(),
                format!("{:.1}", mean(&took)),
                format!("{:.1}", spreads.iter().map(took).fold(0.0, f64::max)),
                format!("{:.1}", mean(&|s| per_node(s.messages))),
                format!("{bytes:.0}"),
                format!("{:.0}", mean(&|s| s.idle_bytes_per_second)),
            ]);
        }
        times.push(Line { name: format!("news travels {name}"), points: time });
        costs.push(Line { name: format!("news travels {name}"), points: cost });
    }
    table.write(&directory.join("gossip.csv"))?;
    let largest = options.nodes.iter().copied().max().unwrap_or(10) as f64;
    let chart = |title: &str, label: &str, scale, lines| Chart {
        title: title.to_owned(),
        x: Axis::new("nodes", Scale::Logarithmic(3.0, largest)),
        y: Axis::new(label, scale),
        lines,
    };
    chart(
        "Until every node knows one decision; a message takes 1 ms",
        "milliseconds",
        Scale::Logarithmic(1.0, 100_000.0),
        times,
    )
    .write(&directory.join("gossip-time.svg"))?;
    chart(
        "What a node sends for one decision",
        "bytes",
        Scale::Logarithmic(10.0, 10_000_000.0),
        costs,
    )
    .write(&directory.join("gossip-bytes.svg"))
}

/// One decision about one member, made at the first node.
fn spread(nodes: usize, rhythm: Rhythm, seed: u64) -> Result<Spread> {
    let mut cluster = Cluster::new(nodes, rhythm, seed);
    let decided_at = Instant::ZERO + Duration::from_secs(1) * IDLE_SECONDS;
    cluster.run_until(decided_at, false);
    let idle = cluster.bytes as f64 / nodes as f64 / f64::from(IDLE_SECONDS);
    (cluster.bytes, cluster.messages, cluster.changed) = (0, 0, 0);
    let mut change = Members::new();
    change.merge_member(id(nodes - 1), &member(nodes - 1, 1));
    cluster.decide(0, change);
    cluster.run_until(decided_at + PATIENCE, true);
    ensure!(cluster.changed == nodes, "{} of {nodes} nodes know", cluster.changed);
    let took = cluster.now.saturating_since(decided_at);
    cluster.run_until(cluster.now + Duration::from_secs(1), false);
    let (bytes, messages) = (cluster.bytes, cluster.messages);
    Ok(Spread { took, bytes, messages, idle_bytes_per_second: idle })
}

enum Due {
    Timeout(usize),
    Message { from: usize, to: usize, bytes: Bytes },
}

/// Nodes in one thread, and what is due when; the number keeps what is due together in order.
struct Cluster {
    now: Instant,
    nodes: Vec<Gossip>,
    due: BTreeMap<(Instant, u64), Due>,
    next: u64,
    bytes: usize,
    messages: usize,
    changed: usize,
}

impl Cluster {
    fn new(nodes: usize, rhythm: Rhythm, seed: u64) -> Self {
        let mut members = Members::new();
        for place in 0..nodes {
            members.merge_member(id(place), &member(place, 0));
        }
        let gossip = |place: usize| {
            let mut config = GossipConfig::new(id(place));
            if rhythm == Rhythm::EachSecond {
                config.fanout = 0;
            }
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(place as u64);
            Gossip::new(Instant::ZERO, config, members.clone(), seed)
        };
        let nodes: Vec<Gossip> = (0..nodes).map(gossip).collect();
        let mut cluster = Self {
            now: Instant::ZERO,
            nodes,
            due: BTreeMap::new(),
            next: 0,
            bytes: 0,
            messages: 0,
            changed: 0,
        };
        for place in 0..cluster.nodes.len() {
            cluster.set_timeout(place);
        }
        cluster
    }

    fn decide(&mut self, place: usize, change: Members) {
        self.nodes[place].handle(self.now, GossipEvent::Decided(change));
        self.drain(place);
    }

    /// Until a time, or sooner when everyone has changed and that is asked for.
    fn run_until(&mut self, end: Instant, or_all_changed: bool) {
        while !(or_all_changed && self.changed == self.nodes.len()) {
            let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 < end) else {
                self.now = end;
                return;
            };
            let ((now, _), due) = entry.remove_entry();
            self.now = now;
            match due {
                Due::Timeout(place) => {
                    self.nodes[place].handle_timeout(now);
                    self.set_timeout(place);
                    self.drain(place);
                }
                Due::Message { from, to, bytes } => {
                    let from = id(from);
                    self.nodes[to].handle(now, GossipEvent::Received { from, bytes });
                    self.drain(to);
                }
            }
        }
    }

    fn drain(&mut self, place: usize) {
        while let Some(effect) = self.nodes[place].poll_effect() {
            match effect {
                GossipEffect::Send { to, bytes } => {
                    self.messages += 1;
                    self.bytes += bytes.len();
                    let to = usize::try_from(to.0 - 1).expect("ids are places");
                    self.push(self.now + LATENCY, Due::Message { from: place, to, bytes });
                }
                GossipEffect::Changed => self.changed += 1,
                GossipEffect::Refused { from, error } => {
                    panic!("node {place} refuses what {from} says: {error}")
                }
            }
        }
    }

    fn set_timeout(&mut self, place: usize) {
        if let Some(at) = self.nodes[place].poll_timeout() {
            self.push(at, Due::Timeout(place));
        }
    }

    fn push(&mut self, at: Instant, due: Due) {
        self.due.insert((at, self.next), due);
        self.next += 1;
    }
}

fn id(place: usize) -> NodeId {
    NodeId(place as u64 + 1)
}

fn member(place: usize, lamport: u64) -> Member {
    let details = MemberDetails {
        name: format!("node-{place}"),
        address: format!("host-{place}.example.net:7100"),
        http_address: format!("host-{place}.example.net:8100"),
        weight: 1 + u32::try_from(lamport).expect("0 or 1"),
        zone: Zone::default(),
    };
    Member { status: MemberStatus::Active, stamp: Stamp { lamport, author: id(0) }, details }
}
