//! Endpoints over real QUIC on loopback: what the bytes, queues and machines beside the code cannot show.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

mod frames;
mod golden;
mod hostile;
mod links;
mod pressure;
mod raw;
mod refusals;
mod shutdown;
mod world;
