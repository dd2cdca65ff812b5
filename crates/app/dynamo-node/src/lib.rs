//! One Dynamo node: wires the machine of `dynamo-protocol` to storage, transport, HTTP and the
//! clock.
//!
//! ```text
//!   HTTP tasks ----------.                        .--> group commit thread --.
//!   QUIC (transport) ----+--> event_loop: Node ---+--> read pool threads ----+--> event_loop
//!   timers --------------'    (one thread)        '--> links, replies
//! ```
//!
//! Everything but the disk runs in one single-threaded runtime: waking another thread costs more
//! than handling a request. Only [`clock`] reads clocks; only `event_loop` touches the machine.
//!
//! Reading order: [`settings`] and [`config_file`] (what an operator can set), [`genesis_file`],
//! [`identity_files`] and [`init`] (how a cluster begins), [`run`] and [`run_marker`] (how a node
//! starts and stops),
//! [`input`], `event_loop` and `effect_executor` (how it works), `native` and [`http`] (who talks
//! to it), [`metrics`].
//!
//! Not here: any rule of replication. The machine decides; this crate carries out.

pub mod access;
pub mod arguments;
pub mod clock;
pub mod config_file;
mod database;
mod effect_executor;
mod event_loop;
pub mod genesis_file;
pub mod http;
pub mod identity_files;
pub mod init;
pub mod input;
mod links;
pub mod logging;
pub mod metrics;
mod native;
mod peers;
pub mod run;
pub mod run_marker;
pub mod settings;
pub mod shutdown;
mod waiters;
