//! Every message that nodes and clients exchange, and its bytes on the wire.
#![no_std]
