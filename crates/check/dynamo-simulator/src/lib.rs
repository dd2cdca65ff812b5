//! A whole cluster in one thread under a virtual clock, with faults, judged by the checker.
//!
//! Every node is the very machine that `dynamo-node` runs. Around it stand a seeded network, disks,
//! clocks and clients, and a nemesis that crashes, cuts, pauses, slows and damages. One seed decides
//! everything, so a failure repeats from its number, step by step.
//!
//! What clients saw and what the disks hold in the end is judged by `dynamo-checker`, which trusts
//! none of the system's own clocks. `docs/SIMULATOR.md` says how to run it and how to read a failure.
//!
//! # Map, in reading order
//! - [`options`]: what a seed decides. [`run`]: one seed from beginning to end.
//! - [`cluster`]: the loop of everything; [`network`], [`disk`], [`wall_clock`], [`workload`].
//! - [`observer`]: what was seen on the way, for the checks. [`script`]: a calm cluster that a test
//!   drives by hand.
//! - [`batch`]: many seeds, and their summary. [`markers`]: what happened how often. [`trace`]: step
//!   by step.
//!
//! # What it does not do
//! It does not run the shell: no sockets, no RocksDB, no threads of a node. Its disk and network are
//! models; the conformance suite of `dynamo-storage` and tests with real processes cover the rest.

pub mod batch;
pub mod cluster;
pub mod disk;
pub mod markers;
pub mod network;
pub mod observer;
pub mod options;
pub mod queue;
pub mod random;
pub mod run;
pub mod script;
pub mod trace;
pub mod wall_clock;
mod wire;
pub mod workload;
