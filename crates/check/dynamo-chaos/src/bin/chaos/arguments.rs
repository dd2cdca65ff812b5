//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use dynamo_chaos::audit::Convergence;
use dynamo_chaos::scenario::{self, Scenario};

/// Who had seen whom takes memory by the square of the writes to a key; twenty minutes make some
/// thirty thousand of the busiest. For more, take more seeds.
const SECONDS_MAX: u64 = 1200;

/// Runs real nodes under faults, and checks every promise.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Arguments {
    /// The `dynamo-node` program.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) node: PathBuf,
    /// Where the files of clusters go.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/chaos")]
    pub(crate) dir: PathBuf,
    /// Which scenario, or `all` in turn.
    #[arg(long, value_name = "NAME|all", default_value = "all", value_parser = scenarios)]
    pub(crate) scenario: Scenarios,
    /// How long clients work under faults, in each scenario.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=SECONDS_MAX))]
    seconds: u64,
    /// What is drawn; each scenario of several has its own luck from the same seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep the clusters' files even if every promise held.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Also empty the disks of nodes, where a scenario kills.
    #[arg(long)]
    pub(crate) wipe: bool,
    /// Who makes replicas agree after healing.
    #[arg(long, value_enum, default_value = "reads")]
    pub(crate) converge: Convergence,
    /// Print everything that was done.
    #[arg(long)]
    pub(crate) verbose: bool,
}

/// The scenarios that an argument names.
#[derive(Debug, Clone)]
pub(crate) struct Scenarios(pub(crate) Vec<Scenario>);

fn scenarios(name: &str) -> Result<Scenarios, String> {
    if name == "all" {
        return Ok(Scenarios(scenario::ALL.to_vec()));
    }
    let known = || {
        let lines = scenario::ALL.map(|scenario| format!("{}: {}", scenario.name, scenario.about));
        format!("there are all and\n{}", lines.join("\n"))
    };
    Scenario::of_name(name).map(|scenario| Scenarios(vec![scenario])).ok_or_else(known)
}

impl Arguments {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The command that runs one of these scenarios again.
    pub(crate) fn again(&self, scenario: &Scenario) -> String {
        let mut command = format!(
            "cargo xtask chaos --scenario {} --seed {} --seconds {}",
            scenario.name, self.seed, self.seconds
        );
        if self.wipe {
            command.push_str(" --wipe");
        }
        if self.converge == Convergence::Alone {
            command.push_str(" --converge alone");
        }
        command
    }
}
