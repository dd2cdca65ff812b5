//! The laws of this crate, against plain maps and sets of records.

mod iblt;
mod tree;
