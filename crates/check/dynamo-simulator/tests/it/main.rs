//! Whole clusters: a few seeds of everything, and single histories as scripts.

mod scenarios;
mod seeds;
