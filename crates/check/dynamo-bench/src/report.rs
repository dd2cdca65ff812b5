//! What came of a benchmark, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::arguments::BenchArguments;
use crate::recorder::Recorder;

/// What came of a benchmark.
#[derive(Debug)]
pub struct Report {
    pub(crate) arguments: BenchArguments,
    /// How long was measured.
    pub(crate) seconds: f64,
    pub(crate) recorder: Recorder,
    /// CPU time of all nodes together while measuring, if it could be read.
    pub(crate) node_cpu: Option<Duration>,
    pub(crate) node_cpu_source: &'static str,
    /// CPU time of this process while measuring.
    pub(crate) own_cpu: Option<Duration>,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Report {
    /// Operations that succeeded in a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        if self.seconds > 0.0 { self.recorder.succeeded() as f64 / self.seconds } else { 0.0 }
    }

    /// Operations that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.recorder.errors.values().sum()
    }

    /// Microseconds of the nodes' CPU time for each operation that succeeded.
    #[must_use]
    pub fn node_cpu_us(&self) -> Option<f64> {
        self.per_operation(self.node_cpu)
    }

    fn per_operation(&self, cpu: Option<Duration>) -> Option<f64> {
        let operations = self.recorder.succeeded();
        (operations > 0).then_some(cpu?.as_secs_f64() * 1e6 / operations as f64)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let way = if self.arguments.http { "HTTP" } else { "native" };
        let how = match self.arguments.rate {
            Some(rate) => format!("open loop, {rate}/s due"),
            None => format!("closed loop, {} callers", self.arguments.clients),
        };
        let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all");
        line(format!(
            "mix {:?}, {way}, {how}, {} records of {} bytes, {:.1} s",
            self.arguments.mix, self.arguments.records, self.arguments.value_bytes, self.seconds
        ));
        line(format!(
            "{:<18} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}",
            "operation", "count", "per s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"
        ));
        for (class, histogram) in &self.recorder.latencies {
            let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
            line(format!(
                "{:<18} {:>10} {:>10.0} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                class.name(),
                histogram.len(),
                histogram.len() as f64 / self.seconds,
                ms(0.5),
                ms(0.99),
                ms(0.999),
                histogram.max() as f64 / 1000.0,
            ));
        }
        for (kind, count) in &self.recorder.errors {
            line(format!("failed: {count} x {kind}"));
        }
        line(format!("throughput: {:.0} operations/s", self.throughput()));
        let us = |cpu: Option<f64>| cpu.map_or("unknown".to_owned(), |us| format!("{us:.1} us"));
        line(format!(
            "CPU per operation: nodes {} (by {}), this generator {}",
            us(self.node_cpu_us()),
            self.node_cpu_source,
            us(self.per_operation(self.own_cpu)),
        ));
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let class = |histogram: &Histogram<u64>| {
            let us = |quantile| histogram.value_at_quantile(quantile);
            json!({
                "count": histogram.len(),
                "mean_us": histogram.mean(),
                "p50_us": us(0.5),
                "p99_us": us(0.99),
                "p999_us": us(0.999),
                "max_us": histogram.max(),
            })
        };
        let latencies = self.recorder.latencies.iter();
        json!({
            "mix": format!("{:?}", self.arguments.mix).to_lowercase(),
            "protocol": if self.arguments.http { "http" } else { "native" },
            "clients": self.arguments.clients,
            "rate": self.arguments.rate,
            "records": self.arguments.records,
            "value_bytes": self.arguments.value_bytes,
            "seconds": self.seconds,
            "operations": self.recorder.succeeded(),
            "throughput": self.throughput(),
            "latencies": latencies
                .map(|(name, histogram)| (name.name().to_owned(), class(histogram)))
                .collect::<serde_json::Map<_, _>>(),
            "errors": self.recorder.errors,
            "node_cpu_us_per_operation": self.node_cpu_us(),
            "generator_cpu_us_per_operation": self.per_operation(self.own_cpu),
        })
    }
}
