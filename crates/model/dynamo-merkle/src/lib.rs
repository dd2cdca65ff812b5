//! Hash trees of additive keyed digests that can be updated in place and folded to one shape.
#![no_std]
