//! Prints how fast and how falsely the detector judges, for clusters of several sizes.
//!
//! `cargo run --release -p dynamo-membership --example swim_table -- [SEEDS] [SECONDS]`: a line for
//! each size, with doubts about itself on and off.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod world;

use std::time::Duration;

use dynamo_membership::SwimConfig;
use world::{Weather, World};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments.next().map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (seeds, seconds) = (number(4), number(300));
    println!(
        "| n | local health | all know (ms) | bytes/s per node | false downs: 5 % loss | 10 % stall: of others | of those |"
    );
    println!("|---|---|---|---|---|---|---|");
    for nodes in [5, 10, 50, 100] {
        for local_health in [false, true] {
            let config = SwimConfig { local_health, ..SwimConfig::default() };
            println!("{}", line(nodes, &config, seeds, Duration::from_secs(seconds)));
        }
    }
}

/// Measures one size.
fn line(nodes: usize, config: &SwimConfig, seeds: u64, duration: Duration) -> String {
    let (mut known, mut traffic, mut lost) = (vec![], 0, 0);
    let (mut healthy, mut stalled) = (0, 0);
    for seed in 0..seeds {
        let mut world = World::new(nodes, config.clone(), Weather::default(), seed);
        world.run_until(Duration::from_secs(60), World::all_agree).expect("they find each other");
        world.bytes_sent = 0;
        world.run_for(Duration::from_secs(60));
        traffic += world.bytes_sent / nodes / 60;
        world.kill(0);
        let took = world.run_until(Duration::from_secs(60), World::all_agree);
        known.push(took.map_or(u128::MAX, |took| took.as_millis()));

        let loss = Weather { loss_permille: 50, ..Weather::default() };
        lost += false_downs(nodes, config, loss, seed, duration).0;
        let stalls = Weather { stalling: nodes.div_ceil(10), ..Weather::default() };
        let (of_others, of_those) = false_downs(nodes, config, stalls, seed, duration);
        healthy += of_others;
        stalled += of_those;
    }
    known.sort_unstable();
    let (fastest, slowest) = (known[0], known[known.len() - 1]);
    let per_node = traffic as u64 / seeds;
    let switch = if config.local_health { "on" } else { "off" };
    format!(
        "| {nodes} | {switch} | {fastest}-{slowest} | {per_node} | {lost} | {healthy} | {stalled} |"
    )
}

/// Of members that never stall, and of those that do.
fn false_downs(
    nodes: usize,
    config: &SwimConfig,
    weather: Weather,
    seed: u64,
    duration: Duration,
) -> (usize, usize) {
    let stalling = weather.stalling;
    let mut world = World::new(nodes, config.clone(), weather, seed);
    world.run_for(Duration::from_secs(5));
    world.changes.clear();
    world.run_for(duration);
    let all = world.false_downs();
    let of_those = world.false_downs_among(0..stalling);
    (all - of_those, of_those)
}
