//! Requests in the making: [`Get`], [`Put`], [`Delete`] and [`List`]. Await them to send them.

mod get;
mod list;
mod put;

use dynamo_messages::{ClusterChange, PlanView, Receipt, SiblingReply};
use dynamo_types::{Bucket, BucketSettings, NodeId};
use std::fmt;

pub use get::Get;
pub use list::List;
pub use put::{Delete, Put};

/// What a client has seen of an object, to be given to the next put. Opaque; good for one key of
/// one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    text: String,
    /// Who answered the read: the put goes there first, if it is still a replica (Paper §5).
    pub(crate) answered_by: Option<NodeId>,
}

impl Context {
    /// The text, to be kept or shown. [`Context::from`] reads it back.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<String> for Context {
    fn from(text: String) -> Self {
        Self { text, answered_by: None }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An object as a read found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// None if it is absent or deleted; several if versions stand side by side, which the
    /// application should reconcile with its next put.
    pub siblings: Vec<SiblingReply>,
    /// Covers what was read.
    pub context: Context,
}

/// What became of a put or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Covers what the contexts of the put covered and the new version, and nothing else: enough to
    /// replace it with another put.
    pub context: Context,
    /// What was reached when it was answered.
    pub receipt: Receipt,
}

/// A bucket and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// Which bucket.
    pub bucket: Bucket,
    /// Its settings.
    pub settings: BucketSettings,
    /// Counts the changes; 0 if nobody ever put settings.
    pub version: u64,
}

/// A change of the members, what it would mean, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// What would change.
    pub changes: Vec<ClusterChange>,
    /// What that would mean.
    pub view: PlanView,
    /// The node that planned it.
    pub planned_by: NodeId,
}
