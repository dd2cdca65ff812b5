//! The wiring: HTTP in front of a fake machine, and real nodes as processes on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a failed test shows the logs of its nodes")]

mod cluster;
mod fake_node;
mod http_client;

mod commands;
mod hints;
mod http_access;
mod http_changes;
mod http_errors;
mod http_explain;
mod http_objects;
mod incompleteness;
mod joining;
mod native_clients;
mod replication;
mod restarts;
mod starting;
