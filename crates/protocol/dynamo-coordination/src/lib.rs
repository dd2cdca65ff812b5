//! One state machine per request: quorums, hedges, forwarding and honest outcomes.
//!
//! - [`get`]: asks replicas, merges what they have, answers, then names who is behind.
//! - [`put`]: counts the copies of a version that was minted and sent.
//! - [`forward`]: hands a put to a replica that coordinates it, and passes over one that is silent.
//! - [`known_request`]: asks whether a retried put was made before.
//! - [`list`]: walks the partitions for the keys of a bucket.
//! - [`explain`]: asks what each replica of an object has.
//! - [`hedge_budget`]: keeps hedged reads a small part of all reads.
//!
//! Each machine has the same shape: `new`, `handle(now, event)`, `handle_timeout(now)`,
//! `poll_timeout()`, `poll_effect()`. They decide who is asked and when to answer. They do not
//! store (the node's replica does), nor know buckets, health or placement: their plans come ready.
#![no_std]

extern crate alloc;

pub mod explain;
pub mod forward;
pub mod get;
pub mod hedge_budget;
pub mod known_request;
pub mod list;
mod pieces;
pub mod put;
