//! Every bound of an endpoint, with its reason.

use std::time::Duration;

/// The largest UDP payload of which ten fit into one piece of 65,507 bytes.
pub(crate) const MTU_MAX: u16 = 6550;

/// The bounds and timings of an endpoint. All have defaults that suit a cluster in one data centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest payload of a frame. 17 MiB and 64 KiB: a record with a value of the largest
    /// size that can be configured (16 MiB), a second small one, and their envelope.
    pub frame_bytes_max: usize,
    /// How much a lane may hold that is not yet written. A longer frame still passes when the
    /// lane is empty. 32 MiB: one largest frame being written while the next one waits.
    pub lane_queue_bytes_max: usize,
    /// How much may be handed up and not yet taken by the consumer, over all links. 64 MiB: a
    /// few largest frames; beyond it the readers stop and the peers are held back.
    pub event_bytes_max: usize,
    /// How much a peer may send on one lane before this side reads it. 2 MiB: 10 Gb/s over a round
    /// trip of 1.5 ms. A connection may hold this for every lane at once, so that a stalled lane
    /// cannot keep another one from moving.
    pub lane_window_bytes: u32,
    /// How much is held in datagrams, each way, per connection; the oldest go first. 64 KiB: some
    /// sixty probes, older ones are worth nothing.
    pub datagram_buffer_bytes: usize,
    /// A link on which nothing was heard for so long is dead. 3 s: a peer that is gone should not
    /// hold requests up for QUIC's usual thirty.
    pub idle_timeout: Duration,
    /// An idle link is probed so often. 1 s: two probes may be lost before the idle timeout.
    pub keep_alive: Duration,
    /// The time for handshake and hello together.
    pub handshake_timeout: Duration,
    /// Handshakes under way before newcomers must prove their address (one more round trip). 64: far
    /// more than a cluster needs when it starts, far fewer than a flood.
    pub handshakes_before_retry: usize,
    /// Handshakes under way before newcomers are turned away. 512: about 64 KiB each.
    pub handshakes_max: usize,
    /// Links of clients at one time. 4,096: each has windows and tasks of its own. Nodes are not
    /// limited here: one link per certificate.
    pub client_links_max: usize,
    /// The first and the longest pause between attempts to reach a node.
    pub redial_pause: (Duration, Duration),
    /// How long the one of two nodes that usually waits for the other goes without a link before it
    /// dials by itself. 3 s: a few of the longest pauses, so that only those meet it who are not
    /// where the other one looks.
    pub dial_patience: Duration,
    /// How long a shutdown waits for what is queued to arrive.
    pub flush_timeout: Duration,
    /// The UDP payload to start with; 1,200 fits everywhere.
    pub initial_mtu: u16,
    /// The largest UDP payload to probe for. Where the path carries less, the probes find out. 6,550
    /// is the default and the most that is used, for quinn hands up to ten packets to the
    /// kernel in one piece, and a piece beyond 64 KiB is dropped without a word.
    pub mtu_max: u16,
    /// The socket buffers asked of the kernel, each way; it may grant less. 4 MiB: a burst of 5 ms at
    /// 6 Gb/s while the process does not run.
    pub socket_buffer_bytes: usize,
}

impl Limits {
    /// The UDP payload to start with, and the largest one to probe for.
    pub(crate) fn mtus(&self) -> (u16, u16) {
        // 1,200 is the least that QUIC allows.
        let initial = self.initial_mtu.clamp(1200, MTU_MAX);
        (initial, self.mtu_max.clamp(initial, MTU_MAX))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 17 * 1024 * 1024 + 64 * 1024,
            lane_queue_bytes_max: 32 * 1024 * 1024,
            event_bytes_max: 64 * 1024 * 1024,
            lane_window_bytes: 2 * 1024 * 1024,
            datagram_buffer_bytes: 64 * 1024,
            idle_timeout: Duration::from_secs(3),
            keep_alive: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(3),
            handshakes_before_retry: 64,
            handshakes_max: 512,
            client_links_max: 4096,
            redial_pause: (Duration::from_millis(50), Duration::from_secs(1)),
            dial_patience: Duration::from_secs(3),
            flush_timeout: Duration::from_secs(1),
            initial_mtu: 1200,
            mtu_max: MTU_MAX,
            socket_buffer_bytes: 4 * 1024 * 1024,
        }
    }
}
