//! Real nodes behind a network that loses, delays and cuts, judged by the checker.
//!
//! Five processes of `dynamo-node` with RocksDB and QUIC know each other only by the addresses of a
//! proxy of ours. Clients work over HTTP and with the native library while nodes are killed, stopped
//! and cut off; then everything is healed, every replica of every key is asked what it holds, and
//! `dynamo-checker` holds that against what clients saw, as it does for the simulator.
//! `docs/TESTING.md` says how to run it and how to read a failure.
//!
//! # Map, in reading order
//! - [`scenario`]: which faults come. [`run`]: one scenario from beginning to end.
//! - [`cluster`]: files and processes. [`proxy`]: the network. [`nemesis`]: who hurts both.
//! - [`workload`], [`session`]: the clients. [`http`]: how they speak. [`observations`]: what they saw.
//! - [`audit`]: what the healed cluster shows. [`bridge`]: from there to the checker's evidence.
//! - [`verdict`]: what it amounts to. [`clock`]: the one clock.
//!
//! # What it does not do
//! A run does not repeat packet by packet: the seed decides faults, clients and luck, the machine
//! decides when. What breaks here is sought in the simulator, where it repeats. Disks lose nothing but
//! what a killed process had not handed to the system; power loss is the simulator's.

pub mod audit;
pub mod bridge;
pub mod clock;
pub mod cluster;
pub mod http;
pub mod nemesis;
pub mod observations;
pub mod proxy;
pub mod run;
pub mod scenario;
pub mod session;
pub mod verdict;
pub mod workload;
