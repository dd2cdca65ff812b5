//! What a client needs to know, and its limits.

use std::time::Duration;

use dynamo_transport::{Identity, Trust};

/// How to reach a cluster, and how long to try.
#[derive(Debug)]
pub struct ClientConfig {
    /// Where nodes speak QUIC, `host:port`. One that answers is enough: it names the others.
    pub seeds: Vec<String>,
    /// The client's certificate and key, issued by the cluster's authority.
    pub identity: Identity,
    /// The cluster's authority.
    pub trust: Trust,
    /// How long connecting may take. 5 seconds.
    pub connect_timeout: Duration,
    /// How long a request may take with all its attempts. 5 seconds.
    pub timeout: Duration,
    /// How long one attempt may take before another coordinator is tried. 1 second: well above the
    /// slowest answers of a healthy cluster, well below what a person waits.
    pub attempt_timeout: Duration,
    /// Attempts at one request, the first included. 4.
    pub attempts_max: u32,
    /// Requests in flight at once; more wait for their turn. 1,024: what a node takes from one link
    /// is of that order, and each holds its value in memory.
    pub in_flight_max: usize,
    /// How often members and table are pulled again. 10 seconds (Paper §6.4).
    pub refresh_interval: Duration,
}

impl ClientConfig {
    /// The usual limits.
    #[must_use]
    pub fn new(seeds: Vec<String>, identity: Identity, trust: Trust) -> Self {
        Self {
            seeds,
            identity,
            trust,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(1),
            attempts_max: 4,
            in_flight_max: 1024,
            refresh_interval: Duration::from_secs(10),
        }
    }
}
