//! What is known of a request after several attempts. No IO.
//!
//! An attempt fails *for certain* if its request never left, or if the node says that nothing was
//! applied. Anything else — no answer, a broken connection, a node that does not know — leaves the
//! outcome open, and no later attempt can close it but one that succeeds (protocol rule 7).

use std::time::Duration;

use dynamo_messages::Failure;

/// How one attempt went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptError {
    /// No node is connected that could be asked.
    Unreachable,
    /// The request did not leave: the connection was gone, or its queue full.
    NotSent,
    /// The connection broke before the answer.
    Lost,
    /// No answer in time.
    TimedOut,
    /// The node's answer.
    Refused(Failure),
    /// An answer to some other question: the node does not speak our protocol.
    Unexpected,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing else would help.
    GiveUp,
    /// Ask the coordinator that was asked before, which knows most.
    SameFirst,
    /// Ask another one, after at least this long.
    Elsewhere(Duration),
}

impl AttemptError {
    /// Whether it is certain that this attempt has not changed anything and never will.
    pub(crate) fn is_certain(&self) -> bool {
        match self {
            Self::Unreachable | Self::NotSent => true,
            Self::Lost | Self::TimedOut | Self::Unexpected => false,
            Self::Refused(failure) => !matches!(failure, Failure::OutcomeUnknown { .. }),
        }
    }

    pub(crate) fn next(&self) -> Next {
        match self {
            Self::Lost | Self::TimedOut => Next::SameFirst,
            Self::Unreachable | Self::NotSent => Next::Elsewhere(Duration::ZERO),
            Self::Unexpected => Next::GiveUp,
            Self::Refused(failure) => match failure {
                Failure::Invalid { .. } => Next::GiveUp,
                Failure::OutcomeUnknown { .. } => Next::SameFirst,
                Failure::Overloaded { retry_after_ms } => {
                    Next::Elsewhere(Duration::from_millis(u64::from(*retry_after_ms)))
                }
                Failure::NotEnoughReplicas { .. }
                | Failure::StorageFull
                | Failure::StorageFailed => Next::Elsewhere(Duration::ZERO),
            },
        }
    }
}

/// All attempts failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// How the last one did.
    pub(crate) last: AttemptError,
    /// Whether all failed for certain.
    pub(crate) certain: bool,
    /// The most copies that any attempt is known to have made, and how many were needed.
    pub(crate) reached: Option<(u8, u8)>,
}

impl Failed {
    /// Before any attempt.
    pub(crate) fn none_yet() -> Self {
        Self { last: AttemptError::Unreachable, certain: true, reached: None }
    }

    /// One more attempt failed.
    pub(crate) fn add(&mut self, error: AttemptError) {
        self.certain &= error.is_certain();
        if let AttemptError::Refused(Failure::OutcomeUnknown { reached, needed }) = error {
            self.reached = self.reached.max(Some((reached, needed)));
        }
        self.last = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_error() -> impl Strategy<Value = AttemptError> {
        prop::sample::select(vec![
            AttemptError::Unreachable,
            AttemptError::NotSent,
            AttemptError::Lost,
            AttemptError::TimedOut,
            AttemptError::Unexpected,
            AttemptError::Refused(Failure::StorageFull),
            AttemptError::Refused(Failure::NotEnoughReplicas { reached: 1, needed: 2 }),
            AttemptError::Refused(Failure::OutcomeUnknown { reached: 1, needed: 2 }),
            AttemptError::Refused(Failure::Overloaded { retry_after_ms: 5 }),
        ])
    }

    proptest! {
        #[test]
        fn a_failure_is_certain_only_if_every_attempt_failed_for_certain(
            errors in prop::collection::vec(any_error(), 1..6),
        ) {
            let mut failed = Failed::none_yet();
            for error in &errors {
                failed.add(error.clone());
            }
            let uncertain = |error: &AttemptError| matches!(
                error,
                AttemptError::Lost
                    | AttemptError::TimedOut
                    | AttemptError::Unexpected
                    | AttemptError::Refused(Failure::OutcomeUnknown { .. })
            );
            prop_assert_eq!(failed.certain, !errors.iter().any(uncertain));
            prop_assert_eq!(Some(&failed.last), errors.last());
        }
    }
}
