//! What must hold after every run, one file a promise.
//!
//! | promise | file |
//! |---|---|
//! | an acknowledged write survives | [`acked_write_survives`] |
//! | a put replaces only what its client saw | [`no_false_overwrite`] |
//! | nothing is invented or damaged | [`no_invention`] |
//! | "failed" means not applied | [`failed_means_not_applied`] |
//! | replicas come to agree, then fall silent | [`replicas_converge`] |
//! | siblings are concurrent | [`siblings_bounded`] |
//! | a retried put stays one version | [`one_version_per_put`] |
//! | a dot names one version | [`no_dot_twice`] |
//! | the deleted stays deleted | [`deleted_stays_deleted`] |
//! | a healed cluster serves | [`healed_cluster_serves`] |
//! | a hint goes only when its target has it | [`hints_are_handed_over`] |
//! | nodes agree on members, settings and who is up | [`members_agree`] |
//!
//! Each check returns how many facts it looked at, so that a batch which checked nothing is noticed.

use core::fmt;

use crate::evidence::Evidence;
use crate::history::{History, KeyIndex};

pub mod acked_write_survives;
pub mod deleted_stays_deleted;
#[cfg(test)]
pub(crate) mod examples;
pub mod failed_means_not_applied;
pub mod healed_cluster_serves;
pub mod hints_are_handed_over;
pub mod members_agree;
pub mod no_dot_twice;
pub mod no_false_overwrite;
pub mod no_invention;
pub mod one_version_per_put;
pub mod replicas_converge;
pub mod siblings_bounded;

/// Lines of a key's history that a finding tells, from its beginning and from its end.
const HISTORY_LINES: usize = 20;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// The key it is about, whose history is worth printing.
    pub key: Option<KeyIndex>,
    /// What was found.
    pub detail: String,
}

impl Violation {
    fn at_key(invariant: &'static str, key: KeyIndex, detail: String) -> Self {
        Self { invariant, key: Some(key), detail }
    }

    /// What happened to the key, as far as it is about the writes that the finding names.
    #[must_use]
    pub fn describe(&self, history: &History) -> String {
        let Some(key) = self.key else { return String::new() };
        let named: Vec<String> = self
            .detail
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| {
                word.strip_prefix('w').is_some_and(|number| number.parse::<u32>().is_ok())
            })
            .map(str::to_owned)
            .collect();
        let is_about = |line: &str| {
            named.is_empty()
                || line
                    .split(|c: char| !c.is_ascii_alphanumeric())
                    .any(|word| named.iter().any(|name| name == word))
        };
        let all = history.describe_key(key);
        let mut lines = all.lines();
        let heading = lines.next().unwrap_or_default();
        let kept: Vec<&str> = lines.filter(|line| is_about(line)).collect();
        let (first, last) =
            (kept.len().min(HISTORY_LINES), kept.len().saturating_sub(HISTORY_LINES));
        let mut text = format!("{heading}\n");
        for line in &kept[..first] {
            text.push_str(line);
            text.push('\n');
        }
        if last > first {
            text.push_str("  …\n");
        }
        for line in &kept[last.max(first)..] {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// A promise and its check.
#[derive(Clone, Copy)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// Finds the first violation, or says how many facts it looked at.
    pub check: fn(&Evidence) -> Result<u64, Violation>,
}

impl fmt::Debug for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them.
pub const ALL: [Invariant; 12] = [
    Invariant { name: no_dot_twice::NAME, check: no_dot_twice::check },
    Invariant { name: no_invention::NAME, check: no_invention::check },
    Invariant { name: failed_means_not_applied::NAME, check: failed_means_not_applied::check },
    Invariant { name: one_version_per_put::NAME, check: one_version_per_put::check },
    Invariant { name: healed_cluster_serves::NAME, check: healed_cluster_serves::check },
    Invariant { name: hints_are_handed_over::NAME, check: hints_are_handed_over::check },
    Invariant { name: members_agree::NAME, check: members_agree::check },
    Invariant { name: replicas_converge::NAME, check: replicas_converge::check },
    Invariant { name: acked_write_survives::NAME, check: acked_write_survives::check },
    Invariant { name: no_false_overwrite::NAME, check: no_false_overwrite::check },
    Invariant { name: deleted_stays_deleted::NAME, check: deleted_stays_deleted::check },
    Invariant { name: siblings_bounded::NAME, check: siblings_bounded::check },
];
