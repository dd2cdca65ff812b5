//! Whole clusters: a few seeds of everything, and single histories as scripts.

mod collected;
#[cfg(planted_bugs)]
mod planted_bugs;
#[cfg(not(planted_bugs))]
mod scenarios;
#[cfg(not(planted_bugs))]
mod seeds;
