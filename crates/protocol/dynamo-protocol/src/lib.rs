//! The whole node as one machine: events in, effects out.
#![no_std]
