//! Whole clusters: a few seeds of everything, and single histories as scripts.

mod collected;
#[cfg(not(planted_bugs))]
mod elastic;
#[cfg(not(planted_bugs))]
mod elastic_faults;
#[cfg(not(planted_bugs))]
mod elastic_histories;
mod elastic_members;
mod moved;
#[cfg(planted_bugs)]
mod planted_bugs;
#[cfg(not(planted_bugs))]
mod scenarios;
#[cfg(not(planted_bugs))]
mod seeds;
#[cfg_attr(planted_bugs, expect(dead_code, reason = "other histories use the rest"))]
mod steps;
