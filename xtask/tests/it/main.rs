//! `cargo xtask` as its users call it, against a node in name only.

mod cluster;
mod members;
mod playground;
