//! A whole benchmark: prepare the bucket, write the records, warm up, measure.

use std::sync::{Arc, Mutex};

use dynamo_client::{
    BucketSettings, Client, ClientConfig, ConnectError, DescribeError, Durability, Profile,
    SettingsError,
};
use thiserror::Error;
use tokio::time::sleep_until;

use crate::arguments::BenchArguments;
use crate::clock;
use crate::http::HttpTarget;
use crate::load::{Load, closed_loop, open_loop, write_records};
use crate::process_cpu::{self, CpuSource};
use crate::report::Report;
use crate::target::{Target, Way};
use crate::workload::Workload;

/// Why there is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// No cluster.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The cluster does not say who its members are.
    #[error("cannot ask for the members")]
    Describe(#[from] DescribeError),
    /// The bucket cannot be set up.
    #[error("cannot set up the bucket")]
    Settings(#[from] SettingsError),
    /// The records cannot be written.
    #[error("cannot write the records: {kind}")]
    Records {
        /// What was wrong with the first that failed.
        kind: String,
    },
}

/// Runs a benchmark on the current runtime.
///
/// # Errors
/// It could not be begun. What goes wrong while it runs is counted in the report.
pub async fn run(
    arguments: BenchArguments,
    mut config: ClientConfig,
) -> Result<Report, BenchError> {
    config.in_flight_max = config.in_flight_max.max(arguments.clients as usize);
    let client = Client::connect(config).await?;
    let view = client.cluster().await?;
    let http_addresses: Vec<String> = view
        .members
        .iter()
        .filter(|member| member.reachable || member.node == view.answered_by)
        .map(|member| member.http_address.clone())
        .collect();
    let settings = BucketSettings::of_profile(arguments.profile, view.replication);
    let settings = BucketSettings {
        r: arguments.r.unwrap_or(settings.r),
        w: arguments.w.unwrap_or(settings.w),
        durability: if arguments.buffered { Durability::Buffered } else { settings.durability },
        ..settings
    };
    client.set_bucket(&arguments.bucket, settings).await?;

    let http = HttpTarget::new(http_addresses);
    let way = if arguments.http {
        Way::Http(http.clone(), Mutex::default())
    } else {
        Way::Native(client, Mutex::default())
    };
    let with_contexts = arguments.profile != Profile::Timestamp;
    let mut target = Target { bucket: arguments.bucket.clone(), way, with_contexts };
    let workload = |seed| {
        let BenchArguments { mix, distribution, records, value_bytes, .. } = arguments;
        Workload::new(mix, distribution, records, value_bytes as usize, seed)
    };
    if !arguments.no_load {
        let values = workload(arguments.seed.wrapping_add(1));
        let written = write_records(target, values, arguments.records, arguments.clients).await;
        target = written.map_err(|kind| BenchError::Records { kind })?;
    }
    let cpu = cpu_source(&arguments, http);
    Ok(measure(&arguments, target, workload(arguments.seed), &cpu).await)
}

fn cpu_source(arguments: &BenchArguments, http: HttpTarget) -> CpuSource {
    if !arguments.pids.is_empty() {
        return CpuSource::Processes(arguments.pids.clone());
    }
    let current = std::env::current_dir().ok();
    match current.and_then(|current| process_cpu::local_cluster(&current)) {
        Some(pids) => CpuSource::Processes(pids),
        None => CpuSource::Metrics(http),
    }
}

async fn measure(
    arguments: &BenchArguments,
    target: Target,
    workload: Workload,
    cpu: &CpuSource,
) -> Report {
    let BenchArguments { warm_up, duration, operations, .. } = *arguments;
    let load = Arc::new(Load::new(target, workload, warm_up, duration, operations));
    let running = async {
        match arguments.rate {
            Some(rate) => open_loop(&load, rate, arguments.clients).await,
            None => closed_loop(&load, arguments.clients).await,
        }
        (clock::now(), process_cpu::own(), cpu.read().await)
    };
    let before = async {
        sleep_until(load.measure_from().into()).await;
        (process_cpu::own(), cpu.read().await)
    };
    let ((ended, own_after, nodes_after), (own_before, nodes_before)) =
        tokio::join!(running, before);
    let seconds = (ended - load.measure_from()).as_secs_f64();
    let recorder = Arc::into_inner(load).expect("all tasks have ended").into_recorder();
    let spent = |before: Option<_>, after: Option<std::time::Duration>| after?.checked_sub(before?);
    Report {
        arguments: arguments.clone(),
        seconds,
        recorder,
        node_cpu: spent(nodes_before, nodes_after),
        node_cpu_source: cpu.name(),
        own_cpu: spent(own_before, own_after),
    }
}
