//! What `/metrics` shows, in the Prometheus text format.
//!
//! The counters of the machine and of the transport carry their own names; here they get a prefix
//! and one place where all of it is written out.

mod histogram;
mod process;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dynamo_protocol::HintCount;
use dynamo_storage::StorageEngine;
use http::{Method, StatusCode};

use crate::input::NodeStatus;
use histogram::Histogram;
use text::TextFormat;

/// The kinds of HTTP requests that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    Get,
    Put,
    Delete,
    List,
    Buckets,
    Cluster,
    Explain,
    Health,
    Other,
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        if let Some(rest) = path.strip_prefix("/v1/kv/") {
            return match *method {
                Method::PUT => Self::Put,
                Method::DELETE => Self::Delete,
                _ if rest.contains('/') => Self::Get,
                _ => Self::List,
            };
        }
        if path.starts_with("/v1/buckets") {
            return Self::Buckets;
        }
        if path.starts_with("/v1/explain/") {
            return Self::Explain;
        }
        match path {
            "/v1/cluster" | "/v1/ring" | "/v1/transfers" => Self::Cluster,
            _ if path.starts_with("/v1/cluster/") => Self::Cluster,
            "/healthz" | "/readyz" | "/metrics" => Self::Health,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Buckets => "buckets",
            Self::Cluster => "cluster",
            Self::Explain => "explain",
            Self::Health => "health",
            Self::Other => "other",
        }
    }
}

/// What the HTTP server counts.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    counts: Mutex<HttpCounts>,
}

#[derive(Debug, Default)]
struct HttpCounts {
    requests: BTreeMap<(Route, u16), u64>,
    latencies: BTreeMap<Route, Histogram>,
    problems: BTreeMap<&'static str, u64>,
    connection_errors: BTreeMap<&'static str, u64>,
}

impl HttpMetrics {
    pub(crate) fn record(
        &self,
        route: Route,
        status: StatusCode,
        took: Duration,
        problem: Option<&'static str>,
    ) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem {
            *counts.problems.entry(problem).or_default() += 1;
        }
        *counts.requests.entry((route, status.as_u16())).or_default() += 1;
        counts.latencies.entry(route).or_default().record(took);
    }

    pub(crate) fn connection_error(&self, error: &hyper::Error, timed_out: bool) {
        let kind = if timed_out || error.is_timeout() {
            "timeout"
        } else if error.is_parse_too_large() {
            "head_too_large"
        } else if error.is_parse() {
            "malformed"
        } else if error.is_incomplete_message() {
            "incomplete"
        } else {
            "broken"
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.connection_errors.entry(kind).or_default() += 1;
    }
}

/// Gives the transport's counters by name.
pub type TransportCounters = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// Where figures come from that are not the machine's.
pub struct NodeSources {
    /// The database, if there is one.
    pub engine: Option<Arc<dyn StorageEngine>>,
    /// The transport, if there is one.
    pub transport: Option<TransportCounters>,
}

impl fmt::Debug for NodeSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSources").finish_non_exhaustive()
    }
}

/// Figures of this moment.
pub(crate) struct Figures<'a> {
    /// The machine's.
    pub(crate) status: &'a NodeStatus,
    /// What is kept for members, by name.
    pub(crate) hints: Vec<(String, HintCount)>,
    /// Bytes that all hints may take.
    pub(crate) hint_bytes_max: u64,
    /// HTTP requests being served.
    pub(crate) http_in_flight: usize,
}

/// The whole page.
#[must_use]
pub(crate) fn render(http: &HttpMetrics, sources: &NodeSources, figures: &Figures<'_>) -> String {
    let status = figures.status;
    let mut page = TextFormat::default();
    for (name, value) in &status.counters {
        page.counter(&format!("dynamo_{name}"), "Counted by the node's machine.", *value);
    }
    for (name, value) in &status.anti_entropy {
        page.counter(&format!("dynamo_anti_entropy_{name}"), "Counted by anti-entropy.", *value);
    }
    let help = "How much background work there may be, in a hundred: less while requests are slow.";
    page.gauge("dynamo_background_share", help, status.background_share);
    page.gauge(
        "dynamo_requests_waiting",
        "Requests without an answer yet.",
        status.requests_waiting,
    );
    page.gauge("dynamo_client_links", "Links to native clients.", status.client_links);
    page.gauge("dynamo_members_unreachable", "Members without a link.", status.unreachable.len());
    page.head("dynamo_members", "gauge", "Members by what is thought of them.");
    for (liveness, count) in &status.members_by_liveness {
        page.sample("dynamo_members", &[("liveness", liveness)], *count);
    }
    page.gauge(
        "dynamo_local_health",
        "How little this node trusts its judgement of others: 0 is well, 8 is worst.",
        status.local_health,
    );
    let in_flight = figures.http_in_flight;
    page.gauge("dynamo_http_requests_in_flight", "HTTP requests being served.", in_flight);
    let help = "Copies of partitions that may lack what they acknowledged.";
    page.gauge("dynamo_incomplete_partitions", help, status.incomplete_partitions);
    let help =
        "Records here that hold nothing but deletes, until every replica has these for good.";
    page.gauge("dynamo_deleted_records", help, status.deleted_records);
    let help = "Partitions on their way, or not where operators want them.";
    page.gauge("dynamo_unsettled_partitions", help, status.unsettled_partitions);
    let help = "Partitions of which records are here although they are not this node's.";
    page.gauge("dynamo_leftover_partitions", help, status.leftover_partitions);
    render_hints(&mut page, figures);
    if let Some(transport) = &sources.transport {
        for (name, value) in transport() {
            page.counter(&format!("dynamo_transport_{name}"), "Counted by the transport.", value);
        }
    }
    if let Some(engine) = &sources.engine {
        render_storage(&mut page, engine.as_ref());
    }
    render_http(&mut page, http);
    process::render(&mut page);
    page.into_text()
}

fn render_hints(page: &mut TextFormat, figures: &Figures<'_>) {
    let name = "dynamo_hints";
    page.head(name, "gauge", "Hints kept here for a member, one a key.");
    for (node, count) in &figures.hints {
        page.sample(name, &[("node", node)], count.rows);
    }
    let name = "dynamo_hint_bytes";
    page.head(name, "gauge", "Bytes of the hints kept here for a member.");
    for (node, count) in &figures.hints {
        page.sample(name, &[("node", node)], count.bytes);
    }
    let help = "Bytes of all hints kept here.";
    page.gauge("dynamo_hint_space_bytes", help, figures.status.hint_bytes);
    let help = "Bytes beyond which hints are refused.";
    page.gauge("dynamo_hint_space_bytes_max", help, figures.hint_bytes_max);
}

fn render_storage(page: &mut TextFormat, engine: &dyn StorageEngine) {
    let statistics = match engine.statistics() {
        Ok(statistics) => statistics,
        Err(error) => {
            tracing::warn!(%error, "the database gives no figures");
            return;
        }
    };
    let rows = "Rows, about.";
    let bytes = "Bytes on disk, about.";
    page.head("dynamo_storage_rows", "gauge", rows);
    for column in &statistics.columns {
        page.sample("dynamo_storage_rows", &[("column", column.name)], column.rows);
    }
    page.head("dynamo_storage_bytes", "gauge", bytes);
    for column in &statistics.columns {
        page.sample("dynamo_storage_bytes", &[("column", column.name)], column.bytes);
    }
    page.gauge(
        "dynamo_storage_pending_compaction_bytes",
        "Bytes that wait to be merged.",
        statistics.pending_compaction_bytes,
    );
    if let Some(free) = statistics.free_bytes {
        page.gauge("dynamo_storage_free_bytes", "Bytes free on the disk.", free);
    }
    let stopped = u64::from(statistics.stopped);
    page.gauge("dynamo_storage_stopped", "1 once writes stopped until a restart.", stopped);
}

fn render_http(page: &mut TextFormat, http: &HttpMetrics) {
    let counts = http.counts.lock().unwrap_or_else(PoisonError::into_inner);
    let name = "dynamo_http_requests_total";
    page.head(name, "counter", "HTTP requests answered.");
    for ((route, status), count) in &counts.requests {
        let status = status.to_string();
        page.sample(name, &[("route", route.name()), ("status", &status)], *count);
    }
    let name = "dynamo_http_problems_total";
    page.head(name, "counter", "HTTP requests answered with a problem, by kind.");
    for (kind, count) in &counts.problems {
        page.sample(name, &[("kind", kind)], *count);
    }
    let name = "dynamo_http_connection_errors_total";
    page.head(name, "counter", "HTTP connections that ended badly, by kind.");
    for (kind, count) in &counts.connection_errors {
        page.sample(name, &[("kind", kind)], *count);
    }
    let name = "dynamo_http_request_seconds";
    page.head(name, "histogram", "From the end of a request's head to its response.");
    for (route, histogram) in &counts.latencies {
        histogram.render(page, name, route.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_head_a_metric_and_a_value_on_every_line() {
        let http = HttpMetrics::default();
        http.record(Route::Get, StatusCode::OK, Duration::from_micros(300), None);
        let problem = Some("no-such-object");
        http.record(Route::Get, StatusCode::NOT_FOUND, Duration::from_secs(100), problem);
        let engine: Arc<dyn StorageEngine> =
            Arc::new(dynamo_storage::MemoryEngine::new(&crate::effect_executor::columns()));
        let sources = NodeSources {
            engine: Some(engine),
            transport: Some(Box::new(|| vec![("frames_sent", 7)])),
        };
        let status = NodeStatus {
            counters: vec![("puts", 3)],
            anti_entropy: vec![("exchanges", 6)],
            background_share: 50,
            hint_bytes: 700,
            unsettled_partitions: 5,
            members_by_liveness: [("up", 2), ("down", 1)].into(),
            ..NodeStatus::default()
        };
        let hints = vec![
            ("node-2".to_owned(), HintCount { rows: 4, bytes: 640 }),
            ("the \"old\" one".to_owned(), HintCount { rows: 1, bytes: 60 }),
        ];
        let figures =
            Figures { status: &status, hints, hint_bytes_max: 1 << 30, http_in_flight: 1 };
        let page = render(&http, &sources, &figures);
        for expected in [
            "dynamo_puts_total 3",
            "dynamo_anti_entropy_exchanges_total 6",
            "dynamo_background_share 50",
            "dynamo_members{liveness=\"up\"} 2",
            "dynamo_members{liveness=\"down\"} 1",
            "dynamo_local_health 0",
            "dynamo_transport_frames_sent_total 7",
            "dynamo_http_requests_total{route=\"get\",status=\"404\"} 1",
            "dynamo_http_problems_total{kind=\"no-such-object\"} 1",
            "dynamo_http_request_seconds_count{route=\"get\"} 2",
            "dynamo_http_request_seconds_bucket{route=\"get\",le=\"0.0005\"} 1",
            "dynamo_http_request_seconds_bucket{route=\"get\",le=\"+Inf\"} 2",
            "dynamo_storage_rows{column=\"objects\"} 0",
            "dynamo_hints{node=\"node-2\"} 4",
            "dynamo_hint_bytes{node=\"the \\\"old\\\" one\"} 60",
            "dynamo_hint_space_bytes 700",
            "dynamo_incomplete_partitions 0",
            "dynamo_deleted_records 0",
            "dynamo_unsettled_partitions 5",
            "dynamo_leftover_partitions 0",
            "dynamo_hint_space_bytes_max 1073741824",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected} is not in\n{page}");
        }
        assert!(page.contains("\nprocess_cpu_seconds_total "));
        assert!(page.contains("\nprocess_resident_memory_bytes "));
        let mut heads: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), count, "a metric has two heads");
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        for line in samples {
            let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
            assert!(matches!(value, Some(Ok(_))), "{line}");
        }
    }
}
