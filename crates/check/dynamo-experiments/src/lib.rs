//! The paper's experiments again: data as CSV, pictures as SVG, the same for the same seed.
//!
//! - [`load_balance`]: Figure 8 (Paper §6.2), the three strategies and our placement beside them.
//! - [`placement`]: our placement from 3 to 1,000 nodes: balance, movement, planning time.
//! - [`gossip`]: how members come to be known, by the real machine of dynamo-membership.
//!
//! Beneath them: [`strategies`] (what the paper describes and we do not use), [`table`] and
//! [`chart`] (what is written), [`clock`]. `docs/paper/README.md` says what was found.
//!
//! **Not here:** anything that has to hold. Laws are tests of the crates that keep them.

pub mod chart;
pub mod clock;
pub mod gossip;
pub mod load_balance;
pub mod placement;
pub mod strategies;
pub mod table;
