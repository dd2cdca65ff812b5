//! CPU time of processes, from `/proc/<pid>/stat`, or from what nodes say of themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::HttpTarget;

/// Clock ticks of a second in `/proc`: 100 on every Linux there is.
const TICKS_PER_SECOND: u64 = 100;
/// Where a local cluster keeps its nodes, from the project's root.
const LOCAL: &str = "target/cluster";
/// What nodes call their CPU time.
const METRIC: &str = "process_cpu_seconds_total";

/// Where the nodes' CPU time can be read.
#[derive(Debug)]
pub(crate) enum CpuSource {
    Processes(Vec<u32>),
    Metrics(HttpTarget),
}

impl CpuSource {
    /// CPU time of all nodes together, if it can be read of each.
    pub(crate) async fn read(&self) -> Option<Duration> {
        match self {
            Self::Processes(pids) => pids.iter().map(|pid| of_process(&pid.to_string())).sum(),
            Self::Metrics(http) => {
                let texts = http.metrics().await?;
                texts.iter().map(|text| in_metrics(text)).sum()
            }
        }
    }

    /// How it was read, for the report.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Processes(_) => "/proc",
            Self::Metrics(_) => "/metrics",
        }
    }
}

/// CPU time of this process.
pub(crate) fn own() -> Option<Duration> {
    of_process("self")
}

fn of_process(pid: &str) -> Option<Duration> {
    in_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// User and system time in a `stat` file, whose second field is a name that may hold anything.
fn in_stat(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn in_metrics(text: &str) -> Option<Duration> {
    let value = text.lines().find_map(|line| {
        let rest = line.strip_prefix(METRIC)?;
        let rest = rest.split_once('}').map_or(rest, |(_, value)| value);
        rest.trim().parse().ok()
    })?;
    Duration::try_from_secs_f64(value).ok()
}

/// The processes of a local cluster, if there is one from `current` upwards.
pub(crate) fn local_cluster(current: &Path) -> Option<Vec<u32>> {
    let cluster: PathBuf =
        current.ancestors().map(|folder| folder.join(LOCAL)).find(|path| path.is_dir())?;
    let mut pids: Vec<u32> = Vec::new();
    for entry in std::fs::read_dir(cluster).ok()?.flatten() {
        if let Ok(text) = std::fs::read_to_string(entry.path().join("pid")) {
            let digits: String = text
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(char::is_ascii_digit)
                .collect();
            pids.push(digits.parse().ok()?);
        }
    }
    pids.retain(|pid| of_process(&pid.to_string()).is_some());
    (!pids.is_empty()).then_some(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_file_is_read_whatever_the_process_is_called() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 10 0 0 0 250 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(in_stat(stat), Some(Duration::from_secs(3)));
        assert_eq!(in_stat("nonsense"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(own().is_some());
    }

    #[test]
    fn the_metric_is_found_with_and_without_labels() {
        let text = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n";
        assert_eq!(in_metrics(text), Some(Duration::from_millis(1500)));
        let text = "process_cpu_seconds_total{node=\"1\"} 2\n";
        assert_eq!(in_metrics(text), Some(Duration::from_secs(2)));
        assert_eq!(in_metrics("other 1"), None);
    }
}
