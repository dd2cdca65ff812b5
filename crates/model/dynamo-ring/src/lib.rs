//! The partitioned ring: placement of replicas on weighted nodes in zones, and fallback order.
#![no_std]
