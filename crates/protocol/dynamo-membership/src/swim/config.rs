//! The periods of failure detection, and what follows from the number of members.

use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;

/// The periods. The default is for nodes with a round trip well below 100 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwimConfig {
    /// One member is probed in each.
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to try. Below a third of the
    /// probe period, so that the detour fits into the rest.
    pub probe_rtt: Duration,
    /// How many others are asked then.
    pub indirect_probes: NonZeroUsize,
    /// The shortest time between a suspicion and the verdict.
    pub suspicion_min: Duration,
    /// News is passed on so often, to so many.
    pub gossip_period: Duration,
    /// To how many at a time.
    pub gossip_fanout: NonZeroUsize,
    /// How often a member that was judged down is asked to come back: what heals a split.
    pub announce_to_down_period: Duration,
    /// The largest datagram. QUIC carries little more than 1,100 bytes before it has measured the
    /// path.
    pub datagram_bytes_max: NonZeroUsize,
    /// Whether the node doubts itself when it is slow. Off only to measure what that is worth.
    pub local_health: bool,
}

/// Suspicion lasts so many probe periods for each power of ten of members.
const SUSPICION_FACTOR: u32 = 4;

/// A node passes on one piece of news so often for each power of ten of members. With 4, the usual
/// number, now and then one node in a hundred missed a death and found out by itself, up to a minute
/// later (decision 8).
const TRANSMISSIONS_FACTOR: u32 = 6;

/// A verdict is forgotten after that, and with it the number of the life that it was about. The
/// member is greeted afresh then, as one that was never heard of.
const REMOVE_DOWN_AFTER: Duration = Duration::from_secs(3600);

impl Default for SwimConfig {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("the literals below are not zero");
        Self {
            probe_period: Duration::from_millis(300),
            probe_rtt: Duration::from_millis(100),
            indirect_probes: count(3),
            suspicion_min: Duration::from_millis(1500),
            gossip_period: Duration::from_millis(200),
            gossip_fanout: count(3),
            announce_to_down_period: Duration::from_secs(15),
            datagram_bytes_max: count(1100),
            local_health: true,
        }
    }
}

impl SwimConfig {
    /// The time between a suspicion and the verdict in a cluster of that many members: it grows
    /// with the time that a refutation takes to reach everyone.
    #[must_use]
    pub fn suspicion(&self, members: usize) -> Duration {
        let scaled = self.probe_period * SUSPICION_FACTOR * thousandths_of_log10(members) / 1000;
        scaled.max(self.suspicion_min)
    }

    /// What the detector is run with: `health` multiplies the time to a verdict.
    pub(super) fn for_foca(&self, members: usize, health: u32, frame: usize) -> foca::Config {
        let periodic =
            |frequency, num_members| Some(foca::PeriodicParams { frequency, num_members });
        let payload = self.datagram_bytes_max.get().saturating_sub(frame);
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: self.indirect_probes,
            max_transmissions: transmissions(members),
            suspect_to_down_after: self.suspicion(members) * health,
            remove_down_after: Some(REMOVE_DOWN_AFTER),
            max_packet_size: NonZeroUsize::new(payload).unwrap_or(NonZeroUsize::MIN),
            // Else a node that was judged falsely would not learn of it.
            notify_down_members: true,
            periodic_announce: None,
            periodic_announce_to_down_members: periodic(
                self.announce_to_down_period,
                NonZeroUsize::MIN,
            ),
            periodic_gossip: periodic(self.gossip_period, self.gossip_fanout),
        }
    }
}

/// How often one node passes on one piece of news: with three receivers at a time and that many
/// nodes doing so, everyone has heard it several times.
fn transmissions(members: usize) -> NonZeroU8 {
    let decades = thousandths_of_log10(members.saturating_add(1));
    let count = (TRANSMISSIONS_FACTOR * decades).div_ceil(1000);
    u8::try_from(count).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN)
}

/// The logarithm to base ten in thousandths, 3 % too small at most: straight lines between the
/// powers of two, because there are no logarithms without `std`.
fn thousandths_of_log10(count: usize) -> u32 {
    let count = u64::try_from(count).unwrap_or(u64::MAX).clamp(1, 1 << 32);
    let exponent = count.ilog2();
    let rest = ((count - (1 << exponent)) * 1000) >> exponent;
    let log2 = u64::from(exponent) * 1000 + rest;
    u32::try_from(log2 * 30_103 / 100_000).expect("the logarithm of 2^32 is below ten")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspicion_grows_with_the_logarithm_of_the_members() {
        let config = SwimConfig::default();
        let milliseconds = |members| config.suspicion(members).as_millis();
        assert_eq!([0, 1, 3, 10].map(milliseconds), [1500; 4], "the floor");
        assert_eq!(milliseconds(100), 2370, "4 x 2 x 300 ms, a little rounded");
        assert_eq!(milliseconds(1000), 3595);
    }

    #[test]
    fn the_logarithm_is_close() {
        for (count, expected) in [(1, 0), (2, 301), (10, 978), (64, 1806), (1024, 3010)] {
            assert_eq!(thousandths_of_log10(count), expected);
        }
        assert!(thousandths_of_log10(usize::MAX) < 10_000);
    }

    #[test]
    fn news_is_passed_on_at_least_once() {
        assert_eq!(transmissions(0).get(), 1);
        assert_eq!(transmissions(100).get(), 12);
    }
}
