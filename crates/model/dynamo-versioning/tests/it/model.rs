//! Random histories of a small cluster, judged by a model that knows what each client really saw.
//!
//! [`script`] makes a history from a seed; [`cluster`] plays it: three to five members of one
//! partition and two fallbacks, with disks, messages and clocks that go wrong as real ones do, and
//! with the rules of replication that lie in what callers of this crate do. [`truth`] records for
//! every write which writes its client had seen, by write number and not by dot, and judges records,
//! contexts and reads by that. [`left_out`] is the list of rules, and what happens without each.
//!
//! What is simpler than in a node: a step is over before the next begins, so slots are mistakes
//! that a switch makes and not machines; there are two keys, no values and no retries; the members
//! never change.

pub(crate) mod cluster;
pub(crate) mod left_out;
pub(crate) mod script;
pub(crate) mod truth;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::Cluster;
use left_out::LeftOut;
use script::History;

/// How a history is played and judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// A rule that members and fallbacks do not keep.
    pub(crate) left_out: Option<LeftOut>,
    /// Whether to hold not only the promises but also, after every step, what they rest on.
    pub(crate) laws: bool,
}

impl Manner {
    /// With every rule.
    pub(crate) const KEPT: Self = Self { left_out: None, laws: true };

    /// With every rule but one.
    pub(crate) const fn without(rule: LeftOut) -> Self {
        Self { left_out: Some(rule), laws: true }
    }

    /// Judged as a client can judge it.
    pub(crate) const fn by_promises(self) -> Self {
        Self { laws: false, ..self }
    }
}

/// Plays one history to its end and a full exchange.
pub(crate) fn play(history: &History, manner: Manner) -> Result<(), String> {
    let mut cluster = Cluster::new(history, manner);
    history.steps.iter().try_for_each(|step| cluster.play(step))?;
    cluster.settle()
}

/// A seed whose history breaks a promise or a law, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) violation: String,
}

/// The first of these seeds that fails, looked for on all processors.
pub(crate) fn first_failure(seeds: Range<u64>, manner: Manner) -> Option<Failure> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    let failed = AtomicU64::new(seeds.end);
    let hunt = |worker: usize| {
        for seed in seeds.clone().skip(worker).step_by(workers) {
            if seed >= failed.load(Ordering::Relaxed) {
                break;
            }
            if play(&History::from_seed(seed), manner).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        (0..workers).for_each(|worker| {
            scope.spawn(move || hunt(worker));
        });
    });
    let seed = failed.into_inner();
    let violation = (seed < seeds.end).then(|| play(&History::from_seed(seed), manner).err())??;
    Some(Failure { seed, violation })
}

impl Failure {
    /// The violation and the steps that it needs. With `DYNAMO_MODEL_TRACE` set, also what every
    /// node holds before each of them.
    pub(crate) fn explained(&self, manner: Manner) -> String {
        let (history, violation) = self.cut_down(manner);
        let traced = std::env::var_os("DYNAMO_MODEL_TRACE").is_some();
        let History { members, lazy, skews, steps } = &history;
        let mut text = format!("seed {}: {violation}\n", self.seed);
        let _ = writeln!(text, "{members} members, lazy: {lazy}, skews: {skews:?}");
        let mut cluster = Cluster::new(&history, manner);
        for step in steps {
            if traced {
                text += &cluster.described();
            }
            let _ = writeln!(text, "  {step:?}");
            if cluster.play(step).is_err() {
                break;
            }
        }
        text
    }

    /// Leaves out steps until each that is left is needed.
    fn cut_down(&self, manner: Manner) -> (History, String) {
        let mut history = History::from_seed(self.seed);
        let mut violation = self.violation.clone();
        let kind = kind_of(&violation);
        loop {
            let before = history.steps.len();
            // Last steps first: they are the likeliest to be of no use.
            for at in (0..before).rev() {
                let mut shorter = history.clone();
                shorter.steps.remove(at);
                if let Err(same) = play(&shorter, manner)
                    && kind_of(&same) == kind
                {
                    (history, violation) = (shorter, same);
                }
            }
            if history.steps.len() == before {
                return (history, violation);
            }
        }
    }
}

/// A violation's words without its dots and numbers.
fn kind_of(violation: &str) -> String {
    let words = violation.split_whitespace().take(12);
    words.filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect()
}
