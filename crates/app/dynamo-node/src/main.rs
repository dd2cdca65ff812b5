//! The `dynamo-node` program.
#![expect(clippy::print_stdout, reason = "a command prints what it was asked for")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use dynamo_node::arguments::{
    AddNodeArguments, Arguments, Command, ConfigArguments, InitArguments,
};
use dynamo_node::{config_file, init, logging, run, settings};

// A put allocates some dozens of small pieces; decision 6 has the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain, once, here.
            report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a failure is printed")]
fn report(error: &str) {
    eprintln!("dynamo-node: {error}");
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run(arguments) => {
            let settings = load(&arguments.config, &arguments.overrides)?;
            logging::start(&settings);
            run::run(settings).context("the node cannot run")
        }
        Command::Init(arguments) => create(arguments),
        Command::AddNode(arguments) => add_node(arguments),
        Command::Config(arguments) => config(&arguments),
    }
}

fn load(file: &Path, overrides: &[String]) -> Result<settings::Settings> {
    let working = std::env::current_dir().context("there is no working directory")?;
    // Variables that are not UTF-8 cannot be settings.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(config_file::load(file, variables, overrides, &working)?)
}

fn create(arguments: InitArguments) -> Result<()> {
    let plan = init::ClusterPlan::from(arguments);
    let genesis = init::create(&plan)?;
    let directory = plan.directory.display();
    println!("cluster {} in {directory}", genesis.cluster);
    for member in &genesis.members {
        let (name, node, quic, http) =
            (&member.name, member.node, &member.address, &member.http_address);
        println!("  {name}  {node}  QUIC {quic}  HTTP {http}");
    }
    println!("start each with: dynamo-node run --config {directory}/node-1/dynamo.toml");
    if !plan.host.is_loopback() {
        println!(
            "{} is not loopback: HTTP needs `http.tokens` or `http.insecure` in each dynamo.toml",
            plan.host
        );
    }
    Ok(())
}

fn add_node(arguments: AddNodeArguments) -> Result<()> {
    let plan = init::NodePlan::from(arguments);
    let init::AddedNode { node, zone, directory } = init::add_node(&plan)?;
    let (name, quic, http) = (&plan.name, &plan.address, &plan.http_address);
    println!("{name}  {node}  QUIC {quic}  HTTP {http}  zone {zone}  weight {}", plan.weight);
    println!("start it with: dynamo-node run --config {}/dynamo.toml", directory.display());
    println!("let it join with: dynamo cluster commit --join {name}");
    Ok(())
}

fn config(arguments: &ConfigArguments) -> Result<()> {
    if arguments.explain {
        let text = if arguments.markdown {
            settings::explain_markdown()
        } else {
            settings::explain_text()
        };
        print!("{text}");
        return Ok(());
    }
    let file = arguments.config.as_deref().context("--config is needed")?;
    let settings = load(file, &arguments.overrides)?;
    let checked = run::check(&settings)?;
    println!("{}: sound, node {} of cluster {}", file.display(), checked.node, checked.cluster);
    Ok(())
}
