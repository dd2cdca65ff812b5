//! **Liveness.** After healing every request succeeds; and at any time a request gets one answer,
//! and no refusal that the client did nothing to deserve.

use super::Violation;
use crate::evidence::Evidence;

/// The check's name.
pub const NAME: &str = "healed_cluster_serves";

/// Looks at the requests after healing and at all odd replies.
///
/// # Errors
/// The first one that failed.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let odd = evidence.odd_replies.first().or(evidence.failures_after_healing.first());
    match odd {
        Some(what) => Err(Violation { invariant: NAME, key: None, detail: what.clone() }),
        None => Ok(evidence.requests_after_healing),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::Example;
    use super::*;

    #[test]
    fn a_failure_after_healing_or_an_odd_reply_is_found() {
        let mut evidence = Example::new().evidence(&[]);
        assert_eq!(check(&evidence), Ok(1));
        evidence.failures_after_healing.push("n1: overloaded".into());
        assert!(check(&evidence).is_err());
        evidence.failures_after_healing.clear();
        evidence.odd_replies.push("answered twice".into());
        assert!(check(&evidence).is_err());
    }
}
