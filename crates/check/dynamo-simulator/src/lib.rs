//! A whole cluster in one thread under a virtual clock, with faults and checkers.
//!
//! Every node is the very machine that `dynamo-node` runs. Around it stand a seeded network, disks,
//! clocks and clients, and a nemesis that crashes, cuts, pauses, slows and damages. One seed decides
//! everything, so a failure repeats from its number, step by step.
//!
//! Clients write values that name what their writer had read. From that the checks rebuild who had
//! seen whom and compare it with what the replicas hold in the end: the system's own clocks are
//! never trusted. `docs/SIMULATOR.md` says how to run it and how to read a failure.
//!
//! # Map, in reading order
//! - [`options`]: what a seed decides. [`run`]: one seed from beginning to end.
//! - [`cluster`]: the loop of everything; [`network`], [`disk`], [`wall_clock`], [`workload`].
//! - [`history`], [`observer`], [`causality`], [`evidence`]: what was seen.
//! - [`invariants`]: what must hold. [`script`]: a calm cluster that a test drives by hand.
//! - [`batch`]: many seeds, and their summary. [`markers`]: what happened how often. [`trace`]: step
//!   by step.
//!
//! # What it does not do
//! It does not run the shell: no sockets, no RocksDB, no threads of a node. Its disk and network are
//! models; the conformance suite of `dynamo-storage` and tests with real processes cover the rest.

pub mod batch;
pub mod causality;
pub mod cluster;
pub mod disk;
pub mod evidence;
pub mod history;
pub mod invariants;
pub mod markers;
pub mod network;
pub mod observer;
pub mod options;
pub mod queue;
pub mod random;
pub mod run;
pub mod script;
pub mod trace;
pub mod value;
pub mod wall_clock;
mod wire;
pub mod workload;
