//! Whole clusters: a few seeds of everything, and single histories as scripts.

mod collected;
#[cfg(not(planted_bugs))]
mod elastic;
#[cfg(not(planted_bugs))]
mod elastic_faults;
#[cfg(not(planted_bugs))]
mod elastic_histories;
#[cfg(not(planted_bugs))]
mod elastic_members;
#[cfg(planted_bugs)]
mod planted_bugs;
#[cfg(not(planted_bugs))]
mod scenarios;
#[cfg(not(planted_bugs))]
mod seeds;
#[cfg(not(planted_bugs))]
mod steps;
