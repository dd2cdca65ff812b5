//! Random histories of a small cluster, judged by a model that knows what each client really saw.

pub(crate) mod cluster;
pub(crate) mod left_out;
pub(crate) mod script;
pub(crate) mod truth;

use std::sync::atomic::{AtomicU64, Ordering};

use cluster::Cluster;
use left_out::LeftOut;
use script::{History, Step};

/// Plays one history to its end and a full exchange.
pub(crate) fn play(history: &History, left_out: Option<LeftOut>, laws: bool) -> Result<(), String> {
    let mut cluster = Cluster::new(history, left_out, laws);
    for step in &history.steps {
        cluster.play(step)?;
    }
    cluster.settle()
}

/// A history that breaks a promise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) violation: String,
}

/// The first of these seeds whose history fails, looked for by `workers` threads.
pub(crate) fn first_failure(
    seeds: core::ops::Range<u64>,
    left_out: Option<LeftOut>,
    laws: bool,
    workers: u64,
) -> Option<Failure> {
    let found = AtomicU64::new(seeds.end);
    std::thread::scope(|scope| {
        let hunt = |worker: u64| {
            let (seeds, found) = (seeds.clone(), &found);
            move || {
                for seed in (seeds.start + worker..seeds.end).step_by(workers as usize) {
                    if seed >= found.load(Ordering::Relaxed) {
                        return;
                    }
                    if play(&History::from_seed(seed), left_out, laws).is_err() {
                        found.fetch_min(seed, Ordering::Relaxed);
                        return;
                    }
                }
            }
        };
        (1..workers).for_each(|worker| {
            scope.spawn(hunt(worker));
        });
        hunt(0)();
    });
    let seed = found.into_inner();
    let violation =
        (seed < seeds.end).then(|| play(&History::from_seed(seed), left_out, laws).err());
    Some(Failure { seed, violation: violation?? })
}

impl Failure {
    /// The violation and the steps that it needs.
    pub(crate) fn explained(&self, left_out: Option<LeftOut>, laws: bool) -> String {
        let mut history = History::from_seed(self.seed);
        let mut violation = self.violation.clone();
        let kind = kind_of(&violation);
        loop {
            let before = history.steps.len();
            // Last steps first: they are the likeliest to be of no use.
            for at in (0..before).rev() {
                let mut shorter = history.clone();
                shorter.steps.remove(at);
                if let Err(same) = play(&shorter, left_out, laws)
                    && kind_of(&same) == kind
                {
                    (history, violation) = (shorter, same);
                }
            }
            if history.steps.len() == before {
                break;
            }
        }
        let History { members, lazy, skews, steps } = history;
        let steps: String = steps.iter().map(|step: &Step| format!("  {step:?}\n")).collect();
        let seed = self.seed;
        format!("seed {seed}, {members} members, lazy: {lazy}, {skews:?}: {violation}\n{steps}")
    }
}

/// A violation's words without its dots and numbers.
fn kind_of(violation: &str) -> String {
    let words = violation.split_whitespace().take(12);
    words.filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect()
}
