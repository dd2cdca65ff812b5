//! The commands, one module for each kind.

mod bucket;
mod change;
mod cluster;
mod explain;
mod export;
mod import;
mod job;
mod list;
mod object;
mod transfers;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use dynamo_bench::BenchArguments;
use dynamo_client::{Client, ClientConfig};

use crate::arguments::{Arguments, Command};
use crate::{client_file, output};

/// How long saying goodbye to the nodes may take.
const GOODBYE: Duration = Duration::from_millis(20);

/// Runs a command.
///
/// # Errors
/// What went wrong, for people.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let current = std::env::current_dir().context("there is no current directory")?;
    let path = client_file::find(arguments.config.as_deref(), &current, home.as_deref())?;
    let config = client_file::load(&path)?;
    if let Command::Bench(arguments) = arguments.command {
        return bench(arguments, config).await;
    }
    let client = Client::connect(config).await;
    let client = client.with_context(|| format!("cannot connect as {} says", path.display()))?;
    let result = match arguments.command {
        Command::Put(put) => object::put(&client, put).await,
        Command::Get(get) => object::get(&client, get).await,
        Command::Delete(delete) => object::delete(&client, delete).await,
        Command::List(list) => list::list(&client, list).await,
        Command::Bucket(command) => bucket::run(&client, command).await,
        Command::Cluster(arguments) => match arguments.command {
            None => cluster::cluster(&client, arguments.json).await,
            Some(command) => change::run(&client, command).await,
        },
        Command::Transfers(arguments) => transfers::transfers(&client, &arguments).await,
        Command::Ring(arguments) => cluster::ring(&client, &arguments).await,
        Command::Explain(arguments) => explain::explain(&client, arguments).await,
        Command::Import(arguments) => import::import(&client, arguments).await,
        Command::Export(arguments) => export::export(&client, arguments).await,
        Command::Verify(arguments) => verify::verify(&client, arguments).await,
        Command::Bench(_) => unreachable!("answered above"),
    };
    // Long enough to say goodbye, and nobody waits for what comes after it.
    drop(tokio::time::timeout(GOODBYE, client.close()).await);
    result
}

async fn bench(arguments: BenchArguments, config: ClientConfig) -> anyhow::Result<ExitCode> {
    let as_json = arguments.json;
    let report = dynamo_bench::run(arguments, config).await?;
    if as_json {
        output::line(&report.json().to_string())?;
    } else {
        output::bytes(report.text().as_bytes(), false)?;
    }
    Ok(ExitCode::from(if report.failed() == 0 { 0 } else { output::FAILED }))
}
