//! Background convergence: read repair.
#![no_std]
