//! The `dynamo` command as people run it, against a store in this process that speaks real QUIC.

#![expect(clippy::unwrap_used, reason = "a failed test is meant to panic")]

mod changes;
mod fake_store;
mod files;
mod objects;
