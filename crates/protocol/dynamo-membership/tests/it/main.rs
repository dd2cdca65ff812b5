//! Failure detection under virtual time.

mod swim;
mod world;
