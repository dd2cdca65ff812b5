//! A whole cluster in one thread under a virtual clock, with faults and checkers.
