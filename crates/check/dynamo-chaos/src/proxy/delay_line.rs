//! Packets that are held up until they are due.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use crate::clock;

/// What may be held up at once, in bytes. 32 MiB: half a second of what five nodes under test send,
/// several times over. Beyond it packets are dropped, as a router does.
const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A packet that goes out later.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) from: Arc<UdpSocket>,
    pub(super) to: SocketAddr,
}

/// Packets that are held up, by when they are due and then in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct DelayLine {
    held: BTreeMap<(Instant, u64), Held>,
    bytes: usize,
    counter: u64,
}

impl DelayLine {
    /// Holds a packet up; false if there is no room for it.
    pub(super) fn hold(&mut self, due: Instant, packet: Held) -> bool {
        if self.bytes + packet.bytes.len() > HELD_BYTES_MAX {
            return false;
        }
        self.bytes += packet.bytes.len();
        self.counter += 1;
        self.held.insert((due, self.counter), packet);
        true
    }

    fn next_due(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    fn take_due(&mut self, now: Instant) -> Option<Held> {
        let entry = self.held.first_entry().filter(|entry| entry.key().0 <= now)?;
        let packet = entry.remove();
        self.bytes -= packet.bytes.len();
        Some(packet)
    }
}

/// Sends what is due, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let next = shared.lock().delayed.next_due();
        match next {
            None => shared.waiting.notified().await,
            Some(due) => tokio::select! {
                () = sleep_until(due) => {}
                () = shared.waiting.notified() => {}
            },
        }
        loop {
            let packet = shared.lock().delayed.take_due(clock::now());
            let Some(packet) = packet else { break };
            shared.send(&packet.bytes, &packet.from, packet.to).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn packets_leave_when_due_in_order_and_too_much_is_refused() {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let to = socket.local_addr().unwrap();
        let packet = |length: usize| Held { bytes: vec![0; length], from: socket.clone(), to };
        let now = clock::now();
        let later = now + Duration::from_secs(1);
        let mut line = DelayLine::default();
        assert!(line.hold(later, packet(3)));
        assert!(line.hold(now, packet(1)));
        assert!(line.hold(now, packet(2)));
        assert_eq!(line.next_due(), Some(now));
        let lengths = |line: &mut DelayLine, at| {
            std::iter::from_fn(|| line.take_due(at)).map(|p| p.bytes.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&mut line, now), [1, 2]);
        assert!(!line.hold(now, packet(HELD_BYTES_MAX - 2)), "three bytes are held");
        assert_eq!(lengths(&mut line, later), [3]);
        assert!(line.hold(now, packet(HELD_BYTES_MAX)));
    }
}
