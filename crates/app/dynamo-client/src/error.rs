//! What may be wrong, one enumeration for each operation. Each variant says what the caller may do.

use std::time::Duration;

use dynamo_messages::{Failure, Invalid};
use dynamo_transport::{BindError, DialError};
use dynamo_types::RequestId;
use thiserror::Error;

use crate::outcome::{AttemptError, Failed};

/// Why there is no client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The identity or the trust cannot be used, or no port can be had.
    #[error("cannot open an endpoint")]
    Endpoint(#[from] BindError),
    /// There is nowhere to begin.
    #[error("no seed is configured")]
    NoSeed,
    /// No seed answered.
    #[error("none of {tried} seed addresses answered in time")]
    Unreachable {
        /// How many addresses were tried.
        tried: usize,
        /// What went wrong at the last one, if it did so in time.
        #[source]
        last: Option<SeedError>,
    },
    /// A node answered, but did not say who its members are and what they hold.
    #[error("connected, but no node sent its members and partition table")]
    NoTable,
}

/// Why a seed was not reached.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The name is not known.
    #[error("cannot find the address of {seed}")]
    Resolve {
        /// As configured.
        seed: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The node was not reached.
    #[error("cannot reach {seed}")]
    Dial {
        /// As configured.
        seed: String,
        /// Why.
        #[source]
        source: DialError,
    },
}

/// An operation that changes nothing: it may simply be asked again.
macro_rules! reading_error {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[non_exhaustive]
        pub enum $name {
            /// The request breaks a rule: change it.
            #[error("refused: {detail}")]
            Invalid {
                /// Which rule.
                reason: Invalid,
                /// In words.
                detail: String,
            },
            /// Too few replicas answered: try again later, or with a smaller r.
            #[error("{reached} of {needed} replicas answered")]
            NotEnoughReplicas {
                /// Replicas that answered.
                reached: u8,
                /// How many the quorum needs.
                needed: u8,
            },
            /// The cluster is busy: try again after this long.
            #[error("overloaded")]
            Overloaded {
                /// When to try again.
                retry_after: Duration,
            },
            /// The nodes that were asked cannot use their disks.
            #[error("storage failed")]
            StorageFailed,
            /// No node could be reached.
            #[error("no node is connected")]
            Unreachable,
            /// No answer in time.
            #[error("no answer in time")]
            TimedOut,
            /// A node's answer made no sense: client and nodes are of different releases.
            #[error("unexpected answer")]
            Unexpected,
        }

        impl From<Failed> for $name {
            fn from(failed: Failed) -> Self {
                match failed.last {
                    AttemptError::Unreachable | AttemptError::NotSent => Self::Unreachable,
                    AttemptError::Lost | AttemptError::TimedOut => Self::TimedOut,
                    AttemptError::Unexpected => Self::Unexpected,
                    AttemptError::Refused(failure) => match failure {
                        Failure::Invalid { reason, detail } => Self::Invalid { reason, detail },
                        // A read has no effect that could be unknown.
                        Failure::NotEnoughReplicas { reached, needed }
                        | Failure::OutcomeUnknown { reached, needed } => {
                            Self::NotEnoughReplicas { reached, needed }
                        }
                        Failure::Overloaded { retry_after_ms } => Self::Overloaded {
                            retry_after: Duration::from_millis(retry_after_ms.into()),
                        },
                        Failure::StorageFull | Failure::StorageFailed => Self::StorageFailed,
                    },
                }
            }
        }
    };
}

reading_error! {
    /// Why an object was not read.
    GetError
}
reading_error! {
    /// Why a page of keys was not listed.
    ListError
}
reading_error! {
    /// Why members, partition table or bucket settings were not told.
    DescribeError
}

/// An operation that changes something.
macro_rules! writing_error {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Every variant but [`OutcomeUnknown`](Self::OutcomeUnknown) means that nothing was applied
        /// and nothing will be.
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[non_exhaustive]
        pub enum $name {
            /// Not applied. The request breaks a rule: change it.
            #[error("refused: {detail}")]
            Invalid {
                /// Which rule.
                reason: Invalid,
                /// In words.
                detail: String,
            },
            /// Not applied. Too few replicas could be reached: try again later, or with a smaller w.
            #[error("not applied: {reached} of {needed} replicas could be reached")]
            NotEnoughReplicas {
                /// Replicas that could be reached.
                reached: u8,
                /// How many the quorum needs.
                needed: u8,
            },
            /// Not applied. The cluster is busy: try again after this long.
            #[error("not applied: overloaded")]
            Overloaded {
                /// When to try again.
                retry_after: Duration,
            },
            /// Not applied. The disks of the nodes that were asked are full, or their space for hints.
            #[error("not applied: storage is full")]
            StorageFull,
            /// Not applied. The nodes that were asked cannot use their disks.
            #[error("not applied: storage failed")]
            StorageFailed,
            /// Not applied. No node could be reached.
            #[error("not applied: no node is connected")]
            Unreachable,
            /// It may have been applied, now or later. Read to find out, or try again under the same
            /// request id.
            #[error("outcome unknown: {reached} of {needed} copies were confirmed")]
            OutcomeUnknown {
                /// Copies that are known to have been made.
                reached: u8,
                /// How many were needed; 0 if no node said.
                needed: u8,
                /// The id that all attempts carried.
                request: RequestId,
            },
        }

        impl $name {
            /// What remains of failed attempts under `request`.
            pub(crate) fn of(failed: Failed, request: RequestId) -> Self {
                if !failed.certain {
                    let (reached, needed) = failed.reached.unwrap_or_default();
                    return Self::OutcomeUnknown { reached, needed, request };
                }
                match failed.last {
                    AttemptError::Refused(failure) => match failure {
                        Failure::Invalid { reason, detail } => Self::Invalid { reason, detail },
                        Failure::NotEnoughReplicas { reached, needed } => {
                            Self::NotEnoughReplicas { reached, needed }
                        }
                        Failure::OutcomeUnknown { reached, needed } => {
                            Self::OutcomeUnknown { reached, needed, request }
                        }
                        Failure::Overloaded { retry_after_ms } => Self::Overloaded {
                            retry_after: Duration::from_millis(retry_after_ms.into()),
                        },
                        Failure::StorageFull => Self::StorageFull,
                        Failure::StorageFailed => Self::StorageFailed,
                    },
                    AttemptError::Unreachable
                    | AttemptError::NotSent
                    | AttemptError::Lost
                    | AttemptError::TimedOut
                    | AttemptError::Unexpected => Self::Unreachable,
                }
            }

            /// Whether it is certain that nothing was applied.
            #[must_use]
            pub fn is_not_applied(&self) -> bool {
                !matches!(self, Self::OutcomeUnknown { .. })
            }
        }
    };
}

writing_error! {
    /// Why a put was not confirmed.
    PutError
}
writing_error! {
    /// Why new settings of a bucket were not confirmed.
    SettingsError
}

/// Why a delete was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeleteError {
    /// A delete without a context begins with a read, which failed: nothing was applied.
    #[error("not applied: cannot read what is to be deleted")]
    Read(#[source] GetError),
    /// The tombstone was not confirmed.
    #[error(transparent)]
    Write(#[from] PutError),
}

/// Why a change of the members was not confirmed.
///
/// Every variant but [`OutcomeUnknown`](Self::OutcomeUnknown) means that nothing was done and nothing
/// will be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Not done. It cannot be done, or it was planned for another cluster than there is now: plan
    /// again.
    #[error("refused: {detail}")]
    Invalid {
        /// Which rule.
        reason: Invalid,
        /// In words.
        detail: String,
    },
    /// Not done. Too few members could be reached: try again later.
    #[error("not done: {reached} of {needed} members could be reached")]
    NotEnoughReplicas {
        /// Members that could be reached.
        reached: u8,
        /// How many are needed.
        needed: u8,
    },
    /// Not done. The cluster is busy: try again after this long.
    #[error("not done: overloaded")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// Not done. The disks of the nodes that were asked are full.
    #[error("not done: storage is full")]
    StorageFull,
    /// Not done. The nodes that were asked cannot use their disks.
    #[error("not done: storage failed")]
    StorageFailed,
    /// Not done. No node could be reached.
    #[error("not done: no node is connected")]
    Unreachable,
    /// It may have been done, now or later. It was not tried again: members and transfers tell.
    #[error("outcome unknown: it may have been done, or may still be")]
    OutcomeUnknown,
}

impl From<Failed> for ChangeError {
    fn from(failed: Failed) -> Self {
        if !failed.certain {
            return Self::OutcomeUnknown;
        }
        match failed.last {
            AttemptError::Refused(failure) => match failure {
                Failure::Invalid { reason, detail } => Self::Invalid { reason, detail },
                Failure::NotEnoughReplicas { reached, needed } => {
                    Self::NotEnoughReplicas { reached, needed }
                }
                Failure::OutcomeUnknown { .. } => Self::OutcomeUnknown,
                Failure::Overloaded { retry_after_ms } => {
                    Self::Overloaded { retry_after: Duration::from_millis(retry_after_ms.into()) }
                }
                Failure::StorageFull => Self::StorageFull,
                Failure::StorageFailed => Self::StorageFailed,
            },
            AttemptError::Unreachable
            | AttemptError::NotSent
            | AttemptError::Lost
            | AttemptError::TimedOut
            | AttemptError::Unexpected => Self::Unreachable,
        }
    }
}
