//! What can be asked of a benchmark.

use std::time::Duration;

use clap::{Args, ValueEnum};
use dynamo_client::{Bucket, Profile};

/// `dynamo bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArguments {
    /// What is done: the mixes of the Yahoo Cloud Serving Benchmark, or one operation only.
    #[arg(long, value_enum, default_value_t = Mix::A)]
    pub mix: Mix,
    /// Callers at once; in open loop, the most operations under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub clients: u32,
    /// Open loop: operations that become due in a second.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub rate: Option<u32>,
    /// Speaks HTTP instead of the native protocol.
    #[arg(long)]
    pub http: bool,
    /// Objects that exist before the measurement.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub records: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=16_777_216))]
    pub value_bytes: u32,
    /// How often which object is chosen.
    #[arg(long, value_enum, default_value_t = Distribution::Zipfian)]
    pub distribution: Distribution,
    /// How long to measure, such as 30s.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    pub duration: Duration,
    /// Ends after so many operations, if that is earlier.
    #[arg(long)]
    pub operations: Option<u64>,
    /// How long to run before measuring.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "2s")]
    pub warm_up: Duration,
    /// Repeats the same sequence of choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The bucket, whose settings are changed to `--profile`.
    #[arg(long, default_value = "bench", value_parser = bucket)]
    pub bucket: Bucket,
    /// The bucket's profile. In `timestamp` puts carry no context; else each carries the last one
    /// that was seen for its key.
    #[arg(long, default_value = "timestamp", value_parser = profile)]
    pub profile: Profile,
    /// Copies that a put waits for, instead of the profile's.
    #[arg(long)]
    pub w: Option<u8>,
    /// Replies that a get waits for, instead of the profile's.
    #[arg(long)]
    pub r: Option<u8>,
    /// Puts are answered before they are on disk everywhere.
    #[arg(long)]
    pub buffered: bool,
    /// Does not write the records first: they are there from an earlier run.
    #[arg(long)]
    pub no_load: bool,
    /// Processes of the nodes, for their CPU time; found by themselves for a local cluster.
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is done how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads only.
    C,
    /// 95 % reads of what is new, 5 % inserts.
    D,
    /// Half reads, half read-modify-writes.
    F,
    /// Puts only.
    Put,
    /// Gets only.
    Get,
}

/// How often which object is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Distribution {
    /// All equally often.
    Uniform,
    /// A few very often: Zipf's law with exponent 0.99, spread over the key space.
    Zipfian,
}

fn bucket(text: &str) -> Result<Bucket, dynamo_types::BucketError> {
    Bucket::new(text.to_owned())
}

fn profile(text: &str) -> Result<Profile, String> {
    let known = || Profile::ALL.map(Profile::name).join(", ");
    Profile::from_name(text).ok_or_else(|| format!("one of {}", known()))
}
