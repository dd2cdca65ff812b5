//! One seed from beginning to end, and what came of it.

use core::fmt;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dynamo_checker::invariants::{self, Violation};
use dynamo_types::Instant;

use crate::cluster::{Cluster, OperationCounts};
use crate::markers::Markers;
use crate::options::SeedOptions;

/// What came of one seed.
#[derive(Debug, Clone)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// The first promise that was broken, with the history of the key around it.
    pub failure: Option<Failure>,
    /// Hash of all steps in order: equal for equal seeds.
    pub trace_hash: [u8; 32],
    /// Steps.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// The clients' outcomes during the faults.
    pub operations: OperationCounts,
    /// What happened how often.
    pub markers: Markers,
    /// What the machines counted.
    pub machine_counters: BTreeMap<&'static str, u64>,
    /// Facts that each check looked at.
    pub checked: BTreeMap<&'static str, u64>,
    /// The trace as text, if it was asked for.
    pub lines: Vec<String>,
}

/// A broken promise, told for people.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which promise; `panic` for a broken assertion.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
    /// What happened to the key.
    pub history: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n{}", self.invariant, self.detail, self.history)
    }
}

/// Runs one seed. `readable` keeps the trace as text.
#[must_use]
pub fn run_seed(options: SeedOptions, readable: bool) -> SeedReport {
    let seed = options.seed;
    let mut cluster = Cluster::new(options, readable);
    let outcome = catch_unwind(AssertUnwindSafe(|| cluster.run()));
    let simulated = cluster.now().saturating_since(Instant::ZERO);
    let mut report = SeedReport {
        seed,
        failure: None,
        trace_hash: cluster.trace.hash(),
        steps: cluster.trace.events(),
        simulated,
        operations: cluster.operations,
        markers: Markers::default(),
        machine_counters: BTreeMap::new(),
        checked: BTreeMap::new(),
        lines: cluster.trace.take_lines(),
    };
    if let Err(panic) = outcome {
        let detail = panic_text(panic.as_ref());
        report.failure = Some(Failure { invariant: "panic", detail, history: String::new() });
        return report;
    }
    let (evidence, markers, machine_counters) = cluster.into_evidence();
    report.markers = markers;
    report.machine_counters = machine_counters;
    for invariant in invariants::ALL {
        match (invariant.check)(&evidence) {
            Ok(checked) => *report.checked.entry(invariant.name).or_default() += checked,
            Err(violation) => {
                let mut history = violation.describe(&evidence.history);
                for stray in &evidence.strays {
                    history.push_str(&format!("\n  at the end: {stray}"));
                }
                let Violation { invariant, detail, .. } = violation;
                report.failure = Some(Failure { invariant, detail, history });
                break;
            }
        }
    }
    report
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics of this process are findings, told with their seed and the place they came
/// from, and not printed on the side.
pub fn capture_panics() {
    std::panic::set_hook(Box::new(|panic| {
        LAST_PANIC.with(|last| *last.borrow_mut() = panic.to_string());
    }));
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let captured = LAST_PANIC.with(|last| core::mem::take(&mut *last.borrow_mut()));
    if !captured.is_empty() {
        return captured;
    }
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
