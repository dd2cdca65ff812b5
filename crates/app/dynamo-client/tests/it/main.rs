//! The client against nodes that do what a test tells them, over real QUIC.

#![expect(clippy::unwrap_used, reason = "a failed test is meant to panic")]

mod changes;
mod fake_node;
mod outcomes;
mod routing;
