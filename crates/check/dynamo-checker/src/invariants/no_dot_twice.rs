//! **A dot names one version** (protocol rule 1): no dot was ever seen, in a store or a message,
//! with two different versions.
//!
//! The observer compares every version that passes with the first one seen under its dot.

use super::Violation;
use crate::evidence::Evidence;

/// The check's name.
pub const NAME: &str = "no_dot_twice";

/// Looks at what the observer noted.
///
/// # Errors
/// The first dot with two meanings.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    match evidence.dot_conflicts.first() {
        Some(conflict) => Err(Violation { invariant: NAME, key: None, detail: conflict.clone() }),
        None => Ok(evidence.minted.values().map(|dots| dots.len() as u64).sum()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::Example;
    use super::*;

    #[test]
    fn one_version_a_dot_is_fine_and_two_are_found() {
        let mut example = Example::new();
        example.acknowledged(&[]);
        let mut evidence = example.evidence(&[]);
        assert_eq!(check(&evidence), Ok(1));
        evidence.dot_conflicts.push("a7 is w1 and w2".into());
        assert!(check(&evidence).is_err());
    }
}
