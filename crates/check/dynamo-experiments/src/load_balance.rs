//! Figure 8 again: efficiency of load balancing against the size of the membership information kept
//! at each node (Paper §6.2).

use std::path::Path;

use anyhow::Result;
use dynamo_ring::{RingMember, Zone, first_layout};
use dynamo_types::{NodeId, PartitionCount, Replication};
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::chart::{Axis, Chart, Line, Scale};
use crate::strategies::{Size, efficiency, equal_partitions, equal_tokens, random_partitions};
use crate::table::Table;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Options {
    /// S; the paper's is 30.
    pub nodes: usize,
    /// N; the paper's is 3.
    pub replicas: u8,
    /// Tokens of a node go up to this power of two. The paper's figure seems to end at 1,024.
    pub tokens_bits: u32,
    /// Q of strategy 2, which stays while tokens grow.
    pub partitions: u64,
    /// Each random placement is drawn so often.
    pub draws: u64,
    /// Where the draws begin.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 30, replicas: 3, tokens_bits: 10, partitions: 1024, draws: 100, seed: 0 }
    }
}

/// The efficiencies of one strategy at one size.
struct Sample {
    strategy: &'static str,
    /// Entries that a node has to know: tokens with their node, or replicas of partitions.
    entries: usize,
    /// In ascending order.
    efficiencies: Vec<f64>,
}

const OURS: &str = "explicit sets";
const STRATEGIES: [&str; 4] = ["strategy 1", "strategy 2", "strategy 3", OURS];

/// Writes `load-balance.csv` and `load-balance.svg` into a directory.
///
/// # Errors
/// When a file cannot be written, or the sizes are none that a ring can have.
pub fn run(options: &Options, directory: &Path) -> Result<()> {
    let samples = samples(options)?;
    table(&samples).write(&directory.join("load-balance.csv"))?;
    chart(options, &samples).write(&directory.join("load-balance.svg"))
}

fn samples(options: &Options) -> Result<Vec<Sample>> {
    let size = Size { nodes: options.nodes, replicas: usize::from(options.replicas) };
    let mut samples = Vec::new();
    for tokens in (0..=options.tokens_bits).map(|bits| 1_usize << bits) {
        for strategy in &STRATEGIES[..3] {
            let draw = |draw: u64| {
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed + draw);
                efficiency(&match *strategy {
                    "strategy 1" => random_partitions(size, tokens, &mut rng),
                    "strategy 2" => equal_partitions(size, tokens, options.partitions, &mut rng),
                    _ => equal_tokens(size, tokens, &mut rng),
                })
            };
            let mut efficiencies: Vec<f64> = (0..options.draws).map(draw).collect();
            efficiencies.sort_by(f64::total_cmp);
            samples.push(Sample { strategy, entries: size.nodes * tokens, efficiencies });
        }
    }
    let largest = size.nodes << options.tokens_bits;
    let mut partitions = 1_u32;
    while partitions as usize * size.replicas <= largest {
        // Fewer copies than nodes would leave some idle, which is no question of balance.
        if partitions as usize * size.replicas >= size.nodes {
            samples.push(ours(options, partitions)?);
        }
        partitions *= 2;
    }
    Ok(samples)
}

fn ours(options: &Options, partitions: u32) -> Result<Sample> {
    let nodes = u64::try_from(options.nodes)?;
    let members: Vec<RingMember> = (1..=nodes)
        .map(|node| RingMember { node: NodeId(node), weight: 1, zone: Zone::default() })
        .collect();
    let replication = Replication::new(options.replicas)?;
    let plan = first_layout(&members, replication, PartitionCount::new(partitions)?)?;
    let loads: Vec<f64> = plan.targets.values().copied().map(f64::from).collect();
    let entries = partitions as usize * usize::from(options.replicas);
    Ok(Sample { strategy: OURS, entries, efficiencies: vec![efficiency(&loads)] })
}

impl Sample {
    fn mean(&self) -> f64 {
        self.efficiencies.iter().sum::<f64>() / self.efficiencies.len() as f64
    }

    fn quantile(&self, percent: usize) -> f64 {
        self.efficiencies[(self.efficiencies.len() - 1) * percent / 100]
    }
}

fn table(samples: &[Sample]) -> Table {
    let mut table = Table::new(&["strategy", "entries", "draws", "mean", "p5", "p95"]);
    for sample in samples {
        table.push(&[
            sample.strategy.to_owned(),
            sample.entries.to_string(),
            sample.efficiencies.len().to_string(),
            format!("{:.4}", sample.mean()),
            format!("{:.4}", sample.quantile(5)),
            format!("{:.4}", sample.quantile(95)),
        ]);
    }
    table
}

fn chart(options: &Options, samples: &[Sample]) -> Chart {
    let line = |strategy: &str| {
        let name = match strategy {
            "strategy 1" => "strategy 1: random tokens",
            "strategy 2" => "strategy 2: tokens, equal partitions",
            "strategy 3" => "strategy 3: Q/S tokens a node",
            _ => "ours: a set for each partition",
        };
        let own = samples.iter().filter(|sample| sample.strategy == strategy);
        let points = own.map(|sample| (sample.entries as f64, sample.mean())).collect();
        Line { name: name.to_owned(), points }
    };
    let largest = samples.iter().map(|sample| sample.entries).max().unwrap_or(1) as f64;
    Chart {
        title: format!("Load balancing, S = {}, N = {}", options.nodes, options.replicas),
        x: Axis::new("entries that a node has to know", Scale::Logarithmic(10.0, largest * 1.3)),
        y: Axis::new("mean load / load of the busiest node", Scale::Linear(0.0, 1.0)),
        lines: STRATEGIES.into_iter().map(line).collect(),
    }
}
