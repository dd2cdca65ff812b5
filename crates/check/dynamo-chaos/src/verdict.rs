//! What the evidence amounts to.

use std::collections::BTreeMap;
use std::fmt;

use dynamo_checker::evidence::Evidence;
use dynamo_checker::invariants::{self, Invariant, Violation};

use crate::bridge;

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every promise held, and there was something to look at.
    Held,
    /// A promise was broken.
    Broken {
        /// Which.
        invariant: &'static str,
        /// What was found.
        detail: String,
        /// What happened to the key.
        history: String,
    },
    /// Nobody can say, which is no better.
    Unknown(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("every promise held"),
            Self::Broken { invariant, detail, history } => {
                write!(f, "BROKEN {invariant}: {detail}\n{history}")
            }
            Self::Unknown(what) => write!(f, "NO VERDICT: {what}"),
        }
    }
}

/// A verdict, and how many facts each check looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// By check.
    pub checked: BTreeMap<&'static str, u64>,
}

/// Checks that trust in true causality, which is not known of every key.
const OF_CAUSALITY: [&str; 4] = [
    invariants::acked_write_survives::NAME,
    invariants::no_false_overwrite::NAME,
    invariants::deleted_stays_deleted::NAME,
    invariants::siblings_bounded::NAME,
];

/// Checks that may find nothing to look at in one run: in some, no write fails for certain.
const MAY_FIND_NOTHING: [&str; 1] = [invariants::failed_means_not_applied::NAME];

/// Checks of what nobody sees from outside.
const OUT_OF_SIGHT: [&str; 1] = [invariants::hints_are_handed_over::NAME];

/// Holds the evidence against the promises.
#[must_use]
pub fn judge(mut evidence: Evidence) -> Judgement {
    let mut checked = BTreeMap::new();
    let blurred = bridge::blurred_keys(&evidence);
    let needs_causality = |invariant: &Invariant| OF_CAUSALITY.contains(&invariant.name);
    for of_causality in [false, true] {
        if of_causality {
            bridge::forget(&mut evidence, &blurred);
        }
        let in_sight = invariants::ALL.iter().filter(|i| !OUT_OF_SIGHT.contains(&i.name));
        let checks = in_sight.filter(|i| needs_causality(i) == of_causality);
        for invariant in checks {
            match (invariant.check)(&evidence) {
                Ok(facts) => {
                    checked.insert(invariant.name, facts);
                }
                Err(violation) => {
                    let history = violation.describe(&evidence.history);
                    let Violation { invariant, detail, .. } = violation;
                    let verdict = Verdict::Broken { invariant, detail, history };
                    return Judgement { verdict, checked };
                }
            }
        }
    }
    let idle = checked
        .iter()
        .find(|(name, facts)| **facts == 0 && !MAY_FIND_NOTHING.contains(name))
        .map(|(name, _)| Verdict::Unknown(format!("{name} found nothing to look at")));
    Judgement { verdict: idle.unwrap_or(Verdict::Held), checked }
}
