//! The register of a partition: which replicas hold it, and how they become others.
//!
//! A partition is held by exactly N nodes. To move it, the members of the *current* set decide by
//! majorities on the *next* one (protocol rule 8): no leader, no agreement of the whole cluster, and no
//! partition that ends in two ways. What each node knows of that is one small value, the
//! [`Register`]; registers are totally ordered, and a node only ever climbs.
//!
//! - [`ballot`] and [`register`]: the value, its order, its stages; [`encoding`]: its bytes.
//! - [`acceptor`]: one member's vote, and what it must have synced before it answers.
//! - [`driver`]: takes a move from stage to stage. Any member of either set can run one, and several
//!   at once do no harm.
//! - [`requests`]: what a stage means for puts and gets.
//!
//! The decision is Paxos with one addition, without which a put could be acknowledged and then be
//! missing from a read: see [`acceptor`]. docs/decisions/0011-register.md says what else was chosen.
//!
//! **Not here:** sending, storing and moving data; when a driver starts and how long it waits; the plan
//! that says which sets are wanted (`dynamo-ring`).
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acceptor;
pub mod ballot;
pub mod driver;
pub mod encoding;
mod reader;
pub mod register;
pub mod requests;

pub use acceptor::{Acceptor, AcceptorEffect, AcceptorState, Admission, Answer, Request, Vote};
pub use ballot::{Ballot, Epoch, Force, PlanHash};
pub use driver::{Driver, DriverEffect, Goal};
pub use encoding::DecodeRegisterError;
pub use register::{Forced, Move, ProposeError, Register, Stage};
