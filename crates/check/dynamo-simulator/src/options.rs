//! Everything that a seed decides before its run begins.
//!
//! Whole classes of faults are off at random per seed (swarm testing): a bug that hides behind one
//! fault shows in the seeds without it. Knobs are drawn by order of magnitude, so tiny limits come
//! as often as usual ones.

use core::fmt;
use core::time::Duration;

use dynamo_protocol::{BudgetConfig, Timing};
use dynamo_types::{Limits, PartitionCount, Replication};

use crate::disk::DiskKnobs;
use crate::network::NetworkKnobs;
use crate::random::Stream;

/// A class of faults that the simulator throws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultClass {
    /// A process is killed and started again later.
    Crash,
    /// A process dies between two effects of one turn.
    CrashMidTurn,
    /// One machine loses power.
    PowerCut,
    /// All machines lose power at once.
    PowerCutAll,
    /// A machine stands still.
    Pause,
    /// A wall clock jumps.
    ClockJump,
    /// Some links are cut in both directions.
    CutLinks,
    /// One link is cut in one direction.
    CutOneWay,
    /// One node is cut off from all others.
    Isolate,
    /// A disk is slow.
    SlowDisk,
    /// A disk is full.
    FullDisk,
    /// Reads of a disk fail.
    FailingReads,
    /// A sync fails.
    FailedSync,
    /// A row is damaged.
    DamagedRow,
    /// No fault, but something that may happen amid them: an operator sets a bucket.
    OperatorSetsBucket,
    /// A node comes back with an empty disk.
    LostDisk,
    /// A node comes back with an old state of its disk.
    OldDisk,
    /// Two groups cannot reach each other, and one node reaches both.
    SplitGroups,
    /// Messages are held back on links that stand, and then all arrive at once.
    ClogLinks,
    /// A hint is damaged.
    DamagedHint,
    /// A row of an object is gone, and nothing says so.
    VanishedRow,
    /// A checkpoint, a journal row or a report is damaged.
    DamagedMeta,
    /// No fault, but something that may happen amid them: operators change the members, in clusters that
    /// have nodes to spare.
    OperatorsChangeMembers,
}

impl FaultClass {
    /// All classes.
    pub const ALL: [Self; 23] = [
        Self::Crash,
        Self::CrashMidTurn,
        Self::PowerCut,
        Self::PowerCutAll,
        Self::Pause,
        Self::ClockJump,
        Self::CutLinks,
        Self::CutOneWay,
        Self::Isolate,
        Self::SlowDisk,
        Self::FullDisk,
        Self::FailingReads,
        Self::FailedSync,
        Self::DamagedRow,
        Self::OperatorSetsBucket,
        Self::LostDisk,
        Self::OldDisk,
        Self::SplitGroups,
        Self::ClogLinks,
        Self::DamagedHint,
        Self::VanishedRow,
        Self::DamagedMeta,
        Self::OperatorsChangeMembers,
    ];
}

/// What clients do.
#[derive(Debug, Clone)]
pub struct WorkloadKnobs {
    /// Clients at work at the same time.
    pub clients: u16,
    /// The longest pause between two operations of a client.
    pub think_max: Duration,
    /// How long a client waits for an answer.
    pub patience: Duration,
    /// Replies in a thousand that get lost on their way to the client.
    pub reply_loss_per_mille: u32,
    /// Requests in a thousand that the client also sends to a second node soon after.
    pub double_per_mille: u32,
    /// Operations in a thousand on the hot key of their bucket.
    pub hot_per_mille: u32,
    /// Keys of each bucket.
    pub keys_per_bucket: u16,
}

/// Everything that a seed decides before its run begins.
#[derive(Debug, Clone)]
pub struct SeedOptions {
    /// The seed.
    pub seed: u64,
    /// How long clients work and faults happen.
    pub duration: Duration,
    /// Nodes, those included that are no members at first.
    pub nodes: u8,
    /// The members at genesis: the first ones. The others make themselves known, and operators may let
    /// them in.
    pub founders: u8,
    /// N.
    pub replication: Replication,
    /// Q.
    pub partitions: PartitionCount,
    /// The machines' timing.
    pub timing: Timing,
    /// The machines' limits.
    pub limits: Limits,
    /// The machines' limit on requests under way.
    pub requests_max: usize,
    /// The machines' limit on hints.
    pub hint_bytes_max: u64,
    /// How the machines hold background work back.
    pub background: BudgetConfig,
    /// Depth of the machines' hash trees.
    pub tree_depth: u8,
    /// The network.
    pub network: NetworkKnobs,
    /// The disks.
    pub disk: DiskKnobs,
    /// The clients.
    pub workload: WorkloadKnobs,
    /// The faults that happen.
    pub faults: Vec<FaultClass>,
    /// The longest quiet between two faults.
    pub fault_pause_max: Duration,
    /// Whether effects are taken after every event, not after every turn.
    pub drain_each_event: bool,
    /// Whether every message goes through its encoding.
    pub check_encoding: bool,
    /// The most that wall clocks are off at the start.
    pub clock_offset_max: Duration,
}

impl SeedOptions {
    /// What a seed decides.
    #[must_use]
    pub fn of_seed(seed: u64, duration: Duration) -> Self {
        let mut random = Stream::new(seed, "options");
        let milliseconds = Duration::from_millis;
        let nodes = u8::try_from(random.between(3, 7)).expect("small");
        let n = if random.chance(700) { 3 } else { random.between(1, u64::from(nodes.min(5))) };
        let replication = Replication::new(u8::try_from(n).expect("small")).expect("1 to 5");
        let partitions = *random.pick(&[1, 8, 64]);
        let harsh = random.chance(400);
        let faults = if random.chance(50) {
            Vec::new()
        } else {
            let odds = |class: &FaultClass| match class {
                // These seeds cost twice as much as others.
                FaultClass::OperatorsChangeMembers => 300,
                _ => 450,
            };
            FaultClass::ALL.into_iter().filter(|class| random.chance(odds(class))).collect()
        };
        let elastic = faults.contains(&FaultClass::OperatorsChangeMembers);
        // With more of them each step costs more and shows little that five do not.
        let nodes = if elastic { nodes.min(FOUNDERS_MAX) } else { nodes };
        let spares = if elastic { u8::try_from(random.between(1, 2)).expect("small") } else { 0 };
        Self {
            seed,
            duration,
            nodes: nodes + spares,
            founders: nodes,
            replication,
            partitions: PartitionCount::new(partitions).expect("powers of two"),
            timing: draw_timing(&mut random),
            limits: Limits {
                siblings_max: usize::try_from(random.magnitude(4, 100)).expect("small"),
                ..Limits::default()
            },
            requests_max: usize::try_from(random.magnitude(16, 4096)).expect("small"),
            hint_bytes_max: random.magnitude(2_000, 64 << 20),
            background: draw_background(seed),
            tree_depth: u8::try_from(random.below(3)).expect("small"),
            network: NetworkKnobs {
                delay_min: Duration::from_micros(random.magnitude(20, 2000)),
                delay_max: Duration::from_micros(random.magnitude(200, 40_000)),
                straggling_per_mille: if random.chance(500) { 5 } else { 0 },
                loss_per_mille: odds(&mut random, harsh, 100),
                duplicate_per_mille: odds(&mut random, harsh, 200),
                reorder: harsh && random.chance(500),
                datagram_loss_per_mille: odds(&mut random, harsh, 200),
            },
            disk: DiskKnobs {
                cached_per_mille: *random.pick(&[0, 500, 900]),
                load_max: Duration::from_micros(random.magnitude(50, 5_000)),
                sync_max: Duration::from_micros(random.magnitude(200, 50_000)),
                group_max: usize::try_from(random.magnitude(1, 64)).expect("small"),
            },
            workload: WorkloadKnobs {
                clients: u16::try_from(random.between(3, 7)).expect("small"),
                think_max: milliseconds(random.magnitude(150, 600)),
                patience: milliseconds(random.magnitude(300, 4_000)),
                reply_loss_per_mille: *random.pick(&[0, 10, 50]),
                double_per_mille: *random.pick(&[0, 10, 50]),
                hot_per_mille: *random.pick(&[200, 500, 800]),
                keys_per_bucket: u16::try_from(random.between(1, 5)).expect("small"),
            },
            faults,
            fault_pause_max: milliseconds(random.magnitude(400, 6_400)),
            drain_each_event: random.chance(500),
            check_encoding: random.chance(100),
            clock_offset_max: *random.pick(&[
                Duration::ZERO,
                milliseconds(500),
                Duration::from_secs(3600),
            ]),
        }
    }
}

/// Members at genesis where others may join; N is at most as many.
const FOUNDERS_MAX: u8 = 5;

fn odds(random: &mut Stream, harsh: bool, most: u64) -> u32 {
    let drawn = if harsh && random.chance(600) { random.magnitude(2, most) } else { 0 };
    u32::try_from(drawn).expect("at most a thousand")
}

/// Simulated clients ask little: windows are long enough to tell by a few answers.
fn draw_background(seed: u64) -> BudgetConfig {
    let mut random = Stream::new(seed, "background");
    let window = random.duration_by_magnitude(Duration::from_millis(200), Duration::from_secs(2));
    let small = |number: u64| u32::try_from(number).expect("small");
    BudgetConfig {
        units_per_second: small(random.magnitude(1_000, 20_000)),
        start: u8::try_from(random.magnitude(1, 100)).expect("small"),
        window,
        rest: window * 10,
        learned: small(random.magnitude(8, 256)),
    }
}

fn draw_timing(random: &mut Stream) -> Timing {
    let milliseconds =
        |random: &mut Stream, low, high| Duration::from_millis(random.magnitude(low, high));
    // Probes take most of a calm run's steps: slow ones come as often as quick ones.
    let probe_period = milliseconds(random, 300, 3_000);
    Timing {
        request_timeout: milliseconds(random, 500, 4_000),
        hop_timeout: milliseconds(random, 60, 1_000),
        hedge_delay_min: milliseconds(random, 1, 50),
        checkpoint_interval: milliseconds(random, 200, 5_000),
        anti_entropy_interval: milliseconds(random, 500, 10_000),
        anti_entropy_pause: milliseconds(random, 20, 2_000),
        background_interval: milliseconds(random, 20, 500),
        scrub_interval: milliseconds(random, 20, 1_000),
        read_repair_wait: milliseconds(random, 5, 400),
        stand_in_delay: milliseconds(random, 20, 1_000),
        gossip_period: milliseconds(random, 200, 2_000),
        probe_period,
        probe_timeout: probe_period / 3,
        suspicion_min: probe_period * 5,
        news_period: probe_period * 2 / 3,
        ask_down_period: milliseconds(random, 2_000, 15_000),
        move_interval: milliseconds(random, 100, 2_000),
        ..Timing::default()
    }
}

impl fmt::Display for SeedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{self:#?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_decides_the_same() {
        let draw = |seed| SeedOptions::of_seed(seed, Duration::from_secs(1)).to_string();
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(5));
    }

    #[test]
    fn n_never_exceeds_the_nodes() {
        for seed in 0..500 {
            let options = SeedOptions::of_seed(seed, Duration::from_secs(1));
            assert!(options.replication.get() <= options.founders);
        }
    }
}
