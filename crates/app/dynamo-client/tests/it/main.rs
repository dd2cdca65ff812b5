//! The client against nodes that do what a test tells them, over real QUIC.

mod fake_node;
mod outcomes;
mod routing;
