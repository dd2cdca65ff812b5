//! Behaviour of dotted versions: named histories, and random histories against true causality.

#[cfg(not(planted_bugs))]
mod client_contexts;
#[cfg(not(planted_bugs))]
mod context_growth;
#[cfg(not(planted_bugs))]
mod histories;
#[cfg(not(planted_bugs))]
mod left_out;
mod model;
#[cfg(planted_bugs)]
mod planted_bugs;
#[cfg(not(planted_bugs))]
mod played_histories;
#[cfg(not(planted_bugs))]
mod random_histories;
#[cfg(not(planted_bugs))]
mod versions;
