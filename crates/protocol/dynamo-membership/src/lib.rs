//! The cluster's members, genesis, bucket settings and the health of peers.
#![no_std]
