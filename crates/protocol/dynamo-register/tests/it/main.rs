//! The tests of the register: laws, histories by name, and the bounded check of the whole protocol.

#[cfg(not(planted_bugs))]
mod checks;
#[cfg(not(planted_bugs))]
mod histories;
#[cfg(not(planted_bugs))]
mod laws;
mod model;
#[cfg(planted_bugs)]
mod planted_bugs;
