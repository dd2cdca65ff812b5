//! Load for a cluster, and honest figures of it.
//!
//! [`run`] puts load on a cluster through the native client or plain HTTP and returns a [`Report`]:
//! throughput, percentiles for each class of operation, errors by kind, and the CPU time that the
//! nodes spent on an operation, which holds still when the machine is shared.
//!
//! *Closed loop*: a number of callers, each waiting for its answer before it asks again. It finds
//! the highest throughput, and hides waiting: a slow server is simply asked less. *Open loop*
//! (`--rate`): operations start when they are due, whatever became of those before, and latency is
//! counted from the moment when an operation **was due**, so that one stall shows in all operations
//! that it delayed.
//!
//! # Map, in reading order
//! - [`arguments`]: what can be asked; `workload`: which operation on which key comes next.
//! - `target`: how an operation is done, natively or over HTTP; `load`: the two loops.
//! - `recorder`: histograms and errors; `process_cpu`: CPU time of the nodes; [`report`].
//!
//! # What it does not do
//! It does not start a cluster, does not check values (the simulator and `dynamo verify` do), and
//! does not print.

pub mod arguments;
mod clock;
mod http;
mod load;
mod process_cpu;
mod recorder;
pub mod report;
mod run;
mod target;
mod workload;

pub use arguments::BenchArguments;
pub use report::Report;
pub use run::{BenchError, run};
