//! One state machine per get, put and listing: quorums, forwarding, hedges, outcomes.
#![no_std]
