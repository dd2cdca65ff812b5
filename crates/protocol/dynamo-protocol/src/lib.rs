//! The whole node as one machine: events in, effects out.
//!
//! [`Node`] owns no clock, no socket and no disk. A shell tells it what happened ([`Event`]) and
//! when ([`dynamo_types::Now`]), and does what it asks ([`Effect`]). The same machine runs in
//! `dynamo-node` over QUIC and RocksDB and in `dynamo-simulator` over a seeded network and disk.
//!
//! - [`node`]: routes; its parts join the coordination machines to replicas: gets, puts, lists,
//!   bucket settings; and run gossip and failure detection.
//! - `replica`: one slot per key, dot clocks, write batches with their journal rows.
//! - [`rows`]: what is kept on disk, to the byte.
//! - [`config`], [`event`], [`effect`], [`counters`]: the seam to the shell.
//!
//! Not here: changes of the ring.
#![no_std]

extern crate alloc;

pub mod config;
pub mod counters;
pub mod effect;
pub mod event;
pub mod node;
mod registers;
mod replica;
pub mod rows;

pub use config::{Announcement, MemberInfo, NodeConfig, Recovered, Timing};
pub use counters::Counters;
pub use dynamo_repair::anti_entropy::AntiEntropyCounters;
pub use dynamo_repair::budget::BudgetConfig;
pub use effect::{Column, Effect, Lane, LoadId, ScanId, StoreId, StoreWrite};
pub use event::{ClientId, Event, LoadedRow, ScannedRow, StoreResult};
pub use node::{Node, StartError};
pub use replica::HintCount;
