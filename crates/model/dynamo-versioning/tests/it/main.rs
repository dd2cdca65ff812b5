//! Behaviour of dotted versions: named histories, and random histories against true causality.

#[cfg(not(planted_bugs))]
mod client_contexts;
#[cfg(not(planted_bugs))]
mod context_growth;
#[cfg(not(planted_bugs))]
mod histories;
#[cfg(not(planted_bugs))]
mod known_bugs;
mod model;
#[cfg(planted_bugs)]
mod planted_bugs;
#[cfg(not(planted_bugs))]
mod played_histories;
mod random_histories;
#[cfg(not(planted_bugs))]
mod scripts;
#[cfg(not(planted_bugs))]
mod versions;
