//! The `dynamo` command, as a library so that its parts can be tested.
//!
//! [`arguments`] says what can be typed, [`client_file`] finds and reads the file that says how to
//! reach a cluster, [`commands`] has one module for each kind of command, [`ndjson`] is the format of
//! `import` and `export`, [`output`] is the only place that prints.
//!
//! What is not here: anything about the cluster itself; all of that is asked through
//! `dynamo-client`.

pub mod arguments;
pub mod client_file;
pub mod clock;
pub mod commands;
pub mod ndjson;
pub mod output;
pub mod progress;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;

/// Runs the command line; the process ends with what this returns.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("DYNAMO_LOG").unwrap_or_else(|_| EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into()),
    };
    match runtime.block_on(commands::run(arguments)) {
        Ok(code) => code,
        Err(error) => output::failure(&error),
    }
}
