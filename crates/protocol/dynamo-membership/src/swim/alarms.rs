//! What is to happen later, at most a few alarms for each member.

use alloc::collections::BTreeMap;
use core::time::Duration;

use dynamo_types::{Instant, NodeId};
use foca::Timer;

use super::identity::SwimIdentity;

/// Something to do at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The detector's own.
    Detector(Timer<SwimIdentity>),
    /// Tell a suspect that it is suspected.
    Remind(SwimIdentity),
    /// Greet members that were never heard of.
    Greet,
}

impl Alarm {
    /// Of two that are due at once, an answer is asked for before it is missed.
    fn rank(&self) -> u8 {
        match self {
            Self::Detector(Timer::SendIndirectProbe { .. }) => 0,
            Self::Detector(Timer::ProbeRandomMember(_)) => 1,
            Self::Detector(Timer::ChangeSuspectToDown { .. }) => 2,
            Self::Detector(
                Timer::PeriodicAnnounce(_)
                | Timer::PeriodicAnnounceDown(_)
                | Timer::PeriodicGossip(_)
                | Timer::RemoveDown(_),
            )
            | Self::Remind(_)
            | Self::Greet => 3,
        }
    }
}

/// Alarms in the order of their times.
///
/// Bounded: a member has at most one pending verdict, one reminder and one removal, because a newer
/// life replaces what an older one left; the periodic ones are a handful, and those that a change
/// of the own identity made void expire within their periods.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    queue: BTreeMap<(Instant, u8, u64), Alarm>,
    set: u64,
}

impl Alarms {
    /// The earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((due, ..), _)| *due)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.queue.len()
    }

    /// Takes the first alarm that is due, with its time.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Instant, Alarm)> {
        let entry = self.queue.first_entry()?;
        let due = entry.key().0;
        (due <= now).then(|| (due, entry.remove()))
    }

    /// Sets an alarm. A verdict, reminder or removal replaces the node's former one, unless it is
    /// the same: then the earlier stays.
    pub(super) fn set(&mut self, now: Instant, after: Duration, alarm: Alarm) {
        if let Some(taken) = slot(&alarm) {
            if self.queue.values().any(|known| *known == alarm) {
                return;
            }
            self.queue.retain(|_, known| slot(known) != Some(taken));
        }
        self.set += 1;
        self.queue.insert((now + after, alarm.rank(), self.set), alarm);
    }
}

/// What there is one of for a node: a verdict, a removal or a reminder.
fn slot(alarm: &Alarm) -> Option<(u8, NodeId)> {
    match alarm {
        Alarm::Detector(Timer::ChangeSuspectToDown { member_id, .. }) => Some((0, member_id.node)),
        Alarm::Detector(Timer::RemoveDown(identity)) => Some((1, identity.node)),
        Alarm::Remind(identity) => Some((2, identity.node)),
        Alarm::Detector(
            Timer::SendIndirectProbe { .. }
            | Timer::ProbeRandomMember(_)
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::PeriodicGossip(_),
        )
        | Alarm::Greet => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn verdict(incarnation: u16) -> Alarm {
        let member_id = SwimIdentity { node: NodeId(1), incarnation: 0 };
        Alarm::Detector(Timer::ChangeSuspectToDown { member_id, incarnation, token: 0 })
    }

    #[test]
    fn the_same_verdict_stays_and_a_newer_one_replaces_it() {
        let mut alarms = Alarms::default();
        alarms.set(Instant::ZERO, SECOND, verdict(0));
        alarms.set(Instant::ZERO, 2 * SECOND, verdict(0));
        assert_eq!(alarms.next(), Some(Instant::ZERO + SECOND));
        alarms.set(Instant::ZERO, 3 * SECOND, verdict(1));
        assert_eq!(alarms.take_due(Instant::ZERO + 2 * SECOND), None);
        let due = Instant::ZERO + 3 * SECOND;
        assert_eq!(alarms.take_due(due), Some((due, verdict(1))));
        assert_eq!(alarms.next(), None);
    }

    #[test]
    fn others_are_asked_before_a_probe_is_judged() {
        let mut alarms = Alarms::default();
        let probed_id = SwimIdentity { node: NodeId(1), incarnation: 0 };
        let detour = Alarm::Detector(Timer::SendIndirectProbe { probed_id, token: 0 });
        alarms.set(Instant::ZERO, SECOND, Alarm::Detector(Timer::ProbeRandomMember(0)));
        alarms.set(Instant::ZERO, SECOND, detour.clone());
        let due = Instant::ZERO + SECOND;
        assert_eq!(alarms.take_due(due), Some((due, detour)));
    }
}
