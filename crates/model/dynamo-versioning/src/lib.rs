//! Dotted versions: records, contexts, the merge, dot clocks and client contexts.
#![no_std]
