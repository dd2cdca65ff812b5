//! The bytes of messages: they do not change by accident, nothing is lost on the way, and no bytes
//! whatever make a decoder panic.

#![expect(clippy::unwrap_used, reason = "a failed test is meant to panic")]

mod any_message;
mod change_messages;
mod golden;
mod junk;
mod register_messages;
mod repair_messages;
mod round_trip;
mod samples;
