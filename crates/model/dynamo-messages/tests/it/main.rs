//! The bytes of messages: they do not change by accident, nothing is lost on the way, and no bytes
//! whatever make a decoder panic.

mod any_message;
mod golden;
mod junk;
mod round_trip;
mod samples;
