//! A whole cluster in one thread under a virtual clock, with faults and checkers.
pub mod causality;
pub mod evidence;
pub mod history;
pub mod invariants;
pub mod markers;
pub mod observer;
pub mod queue;
pub mod random;
pub mod value;
pub mod wall_clock;
