//! An asynchronous client of a Dynamo cluster.
//!
//! A [`Client`] keeps one QUIC connection to each node, knows the partition table, and sends each
//! request to a replica of its key, which then coordinates it: the hop that a client without the
//! table pays for is saved (Paper §6.4). It pulls members and table when it connects, every ten
//! seconds, and whenever a connection breaks. Any node can serve any request, so a stale table
//! costs time, never an answer.
//!
//! ```no_run
//! use dynamo_client::{Bucket, Client, ClientConfig, Identity, Key, Trust};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::from_pem(&std::fs::read("certificate.pem")?, &std::fs::read("key.pem")?)?;
//! let trust = Trust::from_pem(&std::fs::read("ca.pem")?)?;
//! let seeds = vec!["127.0.0.1:7101".to_owned()];
//! let client = Client::connect(ClientConfig::new(seeds, identity, trust)).await?;
//!
//! let (carts, key) = (Bucket::new("carts")?, Key::new("customer/42")?);
//! let cart = client.get(&carts, &key).await?;
//! // Several values are versions that nobody has reconciled yet: merge them.
//! let merged: Vec<u8> = cart.siblings.iter().flat_map(|sibling| sibling.value.to_vec()).collect();
//! // The context says which versions this put replaces: those that were seen, no others.
//! client.put(&carts, &key, merged).context(cart.context).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is retried, and what an error means
//! A request is tried at several coordinators within its timeout, all attempts of a put under one
//! request id, so that the cluster makes one version of them. Retries draw on a budget of a tenth
//! of the requests: a cluster in trouble is not asked much more than usual. An error of a put or
//! delete says whether it was **not applied**, which is claimed only when every attempt failed for
//! certain, or that its **outcome is unknown** ([`PutError::OutcomeUnknown`]).
//!
//! A change of the members carries no request id, so it is never repeated after an attempt whose
//! outcome is unknown ([`ChangeError::OutcomeUnknown`]).
//!
//! # Map, in reading order
//! - [`client`]: connecting, and what can be asked; [`operation`]: gets, puts, deletes, listings.
//! - [`error`]: what may be wrong, one enumeration for each operation; `outcome`: what is known of
//!   several attempts together.
//! - `routing`: where a request goes first; `retry`: budget and pauses; both without IO.
//! - `connections`: links to nodes and the replies on them; `upkeep`: members, table, reconnects.
//!
//! # What it does not do
//! It does not merge siblings (only the application knows how), does not cache values, does not
//! reconcile reads itself (a replica does), and does not speak HTTP.

pub mod client;
mod clock;
pub mod config;
mod connections;
pub mod error;
pub mod operation;
mod outcome;
mod retry;
mod routing;
mod upkeep;

pub use client::Client;
pub use config::ClientConfig;
pub use error::{
    ChangeError, ConnectError, DeleteError, DescribeError, GetError, ListError, PutError,
    SettingsError,
};
pub use operation::{BucketInfo, Context, Delete, Get, List, Object, PlannedChange, Put, Stored};

pub use dynamo_messages::{
    CHANGES_MAX, ClusterChange, ClusterView, Explanation, HintView, Invalid, LinkView, MemberView,
    PlanView, PlannedNodeView, Receipt, ReplicaState, ReplicaView, RingView, SiblingReply,
    SiblingView, TransferView, TransfersView,
};
pub use dynamo_transport::{Identity, Trust};
pub use dynamo_types::{
    Bucket, BucketSettings, Durability, Key, NodeId, Profile, Reconciliation, RequestId, WallTime,
};
