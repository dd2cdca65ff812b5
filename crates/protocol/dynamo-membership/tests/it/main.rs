//! Failure detection under virtual time, and gossip of members.

mod gossip;
mod swim;
mod world;
