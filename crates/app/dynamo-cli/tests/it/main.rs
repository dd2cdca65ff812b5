//! The `dynamo` command as people run it, against a store in this process that speaks real QUIC.

mod fake_store;
mod files;
mod objects;
