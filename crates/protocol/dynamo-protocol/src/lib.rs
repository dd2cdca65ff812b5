//! The whole node as one machine: events in, effects out.
//!
//! [`Node`] owns no clock, no socket and no disk. A shell tells it what happened ([`Event`]) and
//! when ([`dynamo_types::Now`]), and does what it asks ([`Effect`]). The same machine runs in
//! `dynamo-node` over QUIC and RocksDB and in `dynamo-simulator` over a seeded network and disk.
#![no_std]

extern crate alloc;

pub mod config;
pub mod effect;
pub mod event;

pub use config::{MemberInfo, NodeConfig, Recovered, Timing};
pub use effect::{Column, Effect, Lane, LoadId, ScanId, StoreId, StoreWrite};
pub use event::{ClientId, Event, LoadedRow, ScannedRow, StoreResult};
