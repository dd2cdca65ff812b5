//! The `dynamo` command: reads its arguments, runs one of them, prints what went wrong once.

use std::process::ExitCode;

fn main() -> ExitCode {
    dynamo_cli::run()
}
