//! The tests of the register: laws, histories by name, and the bounded check of the whole protocol.

#![expect(clippy::unwrap_used, reason = "a failed test is meant to panic")]
#![expect(clippy::print_stdout, reason = "how much was walked is half of what a check says")]

#[cfg(not(planted_bugs))]
mod checks;
#[cfg(not(planted_bugs))]
mod histories;
#[cfg(not(planted_bugs))]
mod laws;
#[expect(dead_code, reason = "builds with and without planted bugs use a part each")]
mod model;
#[cfg(planted_bugs)]
mod planted_bugs;
