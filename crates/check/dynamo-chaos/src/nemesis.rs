//! Whoever makes the faults happen, as the seed and the scenario have it.

mod network;
mod processes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynamo_checker::history::HostIndex;
use dynamo_simulator::random::Stream;
use dynamo_types::Instant;
use tokio::time::Instant as Deadline;

use crate::clock::{self, RunClock};

pub use network::NetworkNemesis;
pub use processes::ProcessNemesis;

/// How long nothing happens between two faults.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What was done, when: for people, and for the checks.
#[derive(Debug, Clone)]
pub struct Journal {
    entries: Arc<Mutex<Entries>>,
    clock: RunClock,
}

#[derive(Debug, Default)]
struct Entries {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
    kills: Vec<(Instant, HostIndex)>,
}

impl Journal {
    /// A journal in which nothing has happened.
    #[must_use]
    pub fn new(clock: RunClock) -> Self {
        Self { entries: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that happens now.
    pub fn note(&self, what: &str) {
        let line = format!("{:>8.3} s: {what}", self.clock.elapsed().as_secs_f64());
        self.lock().lines.push(line);
    }

    fn fault(&self, name: &'static str, what: &str) {
        self.note(what);
        *self.lock().counts.entry(name).or_default() += 1;
    }

    fn killed(&self, nodes: &[HostIndex]) {
        let at = self.clock.moment();
        self.lock().kills.extend(nodes.iter().map(|node| (at, *node)));
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// How often each fault happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// When processes were killed.
    #[must_use]
    pub fn kills(&self) -> Vec<(Instant, HostIndex)> {
        self.lock().kills.clone()
    }
}

/// Waits a while between faults; false when the time is up.
async fn calm(random: &mut Stream, until: Deadline) -> bool {
    let calm = random.duration_by_magnitude(CALM.0, CALM.1);
    last(calm, until).await;
    clock::now() < until
}

/// Lets a fault last, but not beyond the end.
async fn last(time: Duration, until: Deadline) {
    clock::pass(time.min(until.saturating_duration_since(clock::now()))).await;
}

/// So many different nodes, drawn.
fn draw_nodes(random: &mut Stream, count: usize) -> Vec<HostIndex> {
    let mut all: Vec<HostIndex> = crate::cluster::nodes().collect();
    let mut drawn = Vec::new();
    while drawn.len() < count && !all.is_empty() {
        let place = random.index(all.len());
        drawn.push(all.swap_remove(place));
    }
    drawn
}
