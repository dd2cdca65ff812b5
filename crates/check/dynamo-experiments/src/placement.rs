//! Our placement from 3 to 1,000 nodes: balance, movement and planning time.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use dynamo_ring::{Layout, Plan, RingMember, Zone, first_layout, rebalance};
use dynamo_types::{NodeId, PartitionCount, Replication};

use crate::chart::{Axis, Chart, Line, Scale};
use crate::clock::timed;
use crate::table::Table;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sizes of clusters.
    pub nodes: Vec<u64>,
    /// Sizes of rings; each with all clusters that it has copies for.
    pub partitions: Vec<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: vec![3, 4, 6, 10, 20, 30, 50, 100, 200, 300, 500, 700, 1000],
            partitions: vec![1024, 4096, 16384],
        }
    }
}

/// N.
const REPLICAS: u8 = 3;
/// Nodes are dealt to so many zones: more than N, so that uneven zones still allow even shares.
const ZONES: u64 = 5;
/// Nodes of one generation of hardware in four: the mixed clusters.
const MIXED: [u32; 4] = [1, 1, 2, 4];

/// One plan, and what it cost.
struct Row {
    partitions: u32,
    nodes: u64,
    weights: &'static str,
    change: &'static str,
    moved: u32,
    lower_bound: u32,
    /// The node furthest above its ideal share, as a multiple of it.
    busiest: f64,
    planning: Duration,
}

/// Writes `ring-scale.csv`, `ring-scale-times.csv` and their pictures into a directory. All but the
/// times is the same on every machine.
///
/// # Errors
/// When a file cannot be written, or the sizes are none that a ring can have.
pub fn run(options: &Options, directory: &Path) -> Result<()> {
    let rows = rows(options)?;
    let mut table = Table::new(&[
        "partitions",
        "nodes",
        "weights",
        "change",
        "moved",
        "lower_bound",
        "busiest_of_ideal",
    ]);
    let mut times = Table::new(&["partitions", "nodes", "weights", "change", "milliseconds"]);
    for row in &rows {
        let keys = [
            row.partitions.to_string(),
            row.nodes.to_string(),
            row.weights.to_owned(),
            row.change.to_owned(),
        ];
        let balance = format!("{:.4}", row.busiest);
        let facts = [row.moved.to_string(), row.lower_bound.to_string(), balance];
        table.push(&[keys.as_slice(), &facts].concat());
        let planning = format!("{:.2}", row.planning.as_secs_f64() * 1e3);
        times.push(&[keys.as_slice(), &[planning]].concat());
    }
    table.write(&directory.join("ring-scale.csv"))?;
    times.write(&directory.join("ring-scale-times.csv"))?;
    balance(&rows, options).write(&directory.join("ring-scale-balance.svg"))?;
    movement(&rows, options).write(&directory.join("ring-scale-movement.svg"))?;
    planning(&rows, options).write(&directory.join("ring-scale-planning.svg"))
}

fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &partitions in &options.partitions {
        for &nodes in &options.nodes {
            for weights in ["equal", "mixed"] {
                plan_all(partitions, nodes, weights, &mut rows)?;
            }
        }
    }
    Ok(rows)
}

/// The first layout, and from it each change.
fn plan_all(partitions: u32, nodes: u64, weights: &'static str, rows: &mut Vec<Row>) -> Result<()> {
    let members: Vec<RingMember> = (0..nodes).map(|i| member(i, weights)).collect();
    let mut joined = members.clone();
    joined.push(member(nodes, weights));
    let mut left = members.clone();
    left.remove(members.len() / 2);
    let mut replaced = members.clone();
    replaced[members.len() / 2].node = member(nodes, weights).node;
    let mut heavier = members.clone();
    heavier[members.len() / 2].weight += 1;
    // A tenth of all nodes at once, the others' zones being hit too.
    let mut regrouped = members.clone();
    regrouped.iter_mut().skip(1).step_by(10).for_each(|m| m.zone = zone(0));
    let (q, n) = (PartitionCount::new(partitions)?, Replication::new(REPLICAS)?);
    let mut plan_one = |old: Option<&Layout>, change, members: &[RingMember]| -> Result<Plan> {
        let solve = || match old {
            None => first_layout(members, n, q),
            Some(old) => rebalance(Some(old), members, n, q),
        };
        let (plan, mut planning) = timed(solve);
        // The best of three: what else the machine does is not what is measured.
        for _ in 1..3 {
            planning = planning.min(timed(solve).1);
        }
        let plan = plan?;
        let (moved, lower_bound) = (plan.moved, plan.lower_bound);
        let busiest = busiest(&plan, members);
        rows.push(Row {
            partitions,
            nodes,
            weights,
            change,
            moved,
            lower_bound,
            busiest,
            planning,
        });
        Ok(plan)
    };
    let first = plan_one(None, "first", &members)?.layout;
    plan_one(Some(&first), "join", &joined)?;
    if left.len() >= usize::from(REPLICAS) {
        plan_one(Some(&first), "leave", &left)?;
    }
    plan_one(Some(&first), "replace", &replaced)?;
    plan_one(Some(&first), "reweight", &heavier)?;
    plan_one(Some(&first), "zones", &regrouped)?;
    Ok(())
}

fn zone(number: u64) -> Zone {
    Zone::new(format!("z{number}"))
}

fn member(number: u64, weights: &str) -> RingMember {
    // Ids are digests of keys, not 1, 2, 3.
    let node = NodeId((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // A generation is in every zone.
    let generation = usize::try_from(number / ZONES % 4).expect("below 4");
    let weight = if weights == "mixed" { MIXED[generation] } else { 1 };
    RingMember { node, weight, zone: zone(number % ZONES) }
}

/// How much more than its share by weight the busiest node holds. Nodes that hold every partition
/// or fill a zone cannot have their share; then the others' is larger, and this says so.
fn busiest(plan: &Plan, members: &[RingMember]) -> f64 {
    let weight: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
    let copies: u32 = plan.targets.values().sum();
    let of_ideal = |m: &RingMember| {
        let ideal = f64::from(copies) * f64::from(m.weight) / weight as f64;
        f64::from(plan.targets[&m.node]) / ideal
    };
    members.iter().map(of_ideal).fold(0.0, f64::max)
}

fn lines(
    rows: &[Row],
    options: &Options,
    change: &str,
    name: impl Fn(u32) -> String,
    y: impl Fn(&Row) -> f64,
) -> Vec<Line> {
    let line = |partitions: &u32| {
        let own = rows.iter().filter(|row| {
            row.partitions == *partitions && row.change == change && row.weights == "equal"
        });
        let points = own.map(|row| (row.nodes as f64, y(row))).collect();
        Line { name: name(*partitions), points }
    };
    options.partitions.iter().map(line).collect()
}

fn nodes_axis(options: &Options) -> Axis {
    let largest = options.nodes.iter().copied().max().unwrap_or(10) as f64;
    Axis::new("nodes", Scale::Logarithmic(3.0, largest))
}

fn balance(rows: &[Row], options: &Options) -> Chart {
    let lines = lines(rows, options, "first", |q| format!("Q = {q}"), |row| 1.0 / row.busiest);
    Chart {
        title: "Balance of equal nodes, N = 3".to_owned(),
        x: nodes_axis(options),
        y: Axis::new("ideal load / load of the busiest node", Scale::Linear(0.5, 1.0)),
        lines,
    }
}

fn movement(rows: &[Row], options: &Options) -> Chart {
    let share = |row: &Row| f64::from(row.moved) / f64::from(row.partitions * u32::from(REPLICAS));
    let mut lines = Vec::new();
    for (change, name) in [("join", "a node joins"), ("leave", "a node leaves")] {
        lines.extend(lines_of_last(rows, options, change, name, share));
    }
    let ideal = options.nodes.iter().map(|nodes| (*nodes as f64, 1.0 / (*nodes as f64 + 1.0)));
    lines.push(Line { name: "one part of S + 1".to_owned(), points: ideal.collect() });
    Chart {
        title: "What one change moves, equal nodes, N = 3".to_owned(),
        x: nodes_axis(options),
        y: Axis::new("part of all copies", Scale::Logarithmic(0.0005, 1.0)),
        lines,
    }
}

/// The line of the largest ring only.
fn lines_of_last(
    rows: &[Row],
    options: &Options,
    change: &str,
    name: &str,
    y: impl Fn(&Row) -> f64,
) -> Option<Line> {
    lines(rows, options, change, |q| format!("{name}, Q = {q}"), y).pop()
}

fn planning(rows: &[Row], options: &Options) -> Chart {
    let milliseconds = |row: &Row| row.planning.as_secs_f64() * 1e3;
    let mut lines =
        lines(rows, options, "first", |q| format!("first layout, Q = {q}"), milliseconds);
    for (change, name) in [("join", "a join"), ("zones", "a tenth changes zone")] {
        lines.extend(lines_of_last(rows, options, change, name, milliseconds));
    }
    Chart {
        title: "Planning time, equal nodes in five zones, N = 3".to_owned(),
        x: nodes_axis(options),
        y: Axis::new("milliseconds", Scale::Logarithmic(0.1, 10_000.0)),
        lines,
    }
}
