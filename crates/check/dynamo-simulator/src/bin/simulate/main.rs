//! `simulate`: runs seeds of the simulator and fails if a promise is broken.
//!
//! ```text
//! simulate --runs 2000                 a batch; exit 1 on any violation
//! simulate --seed 17 --log seed.log    one seed, with its whole event log
//! simulate replay 17                   the same, printed step by step; also takes a log file
//! simulate --planted all               each planted bug must be found (needs --cfg planted_bugs)
//! ```

mod arguments;
mod clock;
mod console;
mod planted;
mod replay;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

/// A seed is mostly small vectors that come and go.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    dynamo_simulator::run::capture_panics();
    match &arguments.command {
        Some(Command::Replay { what }) => replay::replay(what, &arguments),
        None if arguments.seed.is_some() => replay::one_seed(&arguments),
        None if arguments.planted.is_some() => planted::hunt(&arguments),
        None => console::batch(&arguments),
    }
}
