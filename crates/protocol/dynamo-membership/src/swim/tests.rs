//! One detector against whatever a member may send.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_types::{Instant, NodeId};
use foca::{Header, Member, Message, State};
use proptest::prelude::*;

use super::datagram::{Datagram, seal};
use super::*;

/// Few nodes and lives, so that they meet; 1 is the detector, 9 a stranger.
fn identity() -> impl Strategy<Value = SwimIdentity> {
    let incarnation = prop::sample::select(alloc::vec![0, 4, 5, 6, u64::MAX - 1, u64::MAX]);
    (prop::sample::select(alloc::vec![1, 2, 3, 9]), incarnation)
        .prop_map(|(node, incarnation)| SwimIdentity { node: NodeId(node), incarnation })
}

fn counter() -> impl Strategy<Value = u16> {
    prop::sample::select(alloc::vec![0, 1, 2, u16::MAX - 1, u16::MAX])
}

fn message() -> impl Strategy<Value = Message<SwimIdentity>> {
    (0..10u8, 0..4u8, identity()).prop_map(|(kind, probe_number, third)| match kind {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: third, probe_number },
        3 => Message::IndirectPing { origin: third, probe_number },
        4 => Message::IndirectAck { target: third, probe_number },
        5 => Message::ForwardedAck { origin: third, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        _ => Message::TurnUndead,
    })
}

fn datagram() -> impl Strategy<Value = Datagram> {
    let state = prop::sample::select(alloc::vec![State::Alive, State::Suspect, State::Down]);
    let news =
        (identity(), counter(), state).prop_map(|(id, count, state)| Member::new(id, count, state));
    (identity(), counter(), identity(), message(), prop::collection::vec(news, 0..4)).prop_map(
        |(src, src_incarnation, dst, message, news)| {
            let has_news = !matches!(message, Message::Announce | Message::TurnUndead);
            let header = Header { src, src_incarnation, dst, message };
            Datagram { header, news: if has_news { news } else { Vec::new() } }
        },
    )
}

#[test]
fn a_suspect_that_is_heard_from_is_told_although_others_suspect_it() {
    let life = |node| SwimIdentity { node: NodeId(node), incarnation: 5 };
    let mut swim = Swim::new(SwimConfig::default(), life(1), 7);
    let now = Instant::ZERO;
    swim.handle(now, SwimEvent::Members((1..=3).map(NodeId).collect()));
    let say = |swim: &mut Swim, node: u64, message, news| {
        let header = Header { src: life(node), src_incarnation: 0, dst: life(1), message };
        let bytes = seal(&Datagram { header, news }.write().expect("little news"));
        swim.handle(now, SwimEvent::Datagram { from: NodeId(node), bytes });
    };
    say(&mut swim, 2, Message::Gossip, Vec::new());
    let news = alloc::vec![Member::new(life(2), 0, State::Suspect)];
    say(&mut swim, 3, Message::Gossip, news.clone());
    assert_eq!(swim.liveness(NodeId(2)), Liveness::Suspect);
    while swim.poll_effect().is_some() {}
    say(&mut swim, 2, Message::Ping(9), Vec::new());
    swim.handle_timeout(now);
    let mut told = false;
    while let Some(effect) = swim.poll_effect() {
        if let SwimEffect::Send { to: NodeId(2), bytes } = effect {
            let read = Datagram::read(datagram::open(&bytes).expect("sealed")).expect("sound");
            told |= matches!(read.header.message, Message::Ping(_)) && read.news == news;
        }
    }
    assert!(told, "its answer would refute");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Also the assertions inside the detector hold, and effects alternate.
    #[test]
    fn nothing_that_is_sent_breaks_the_detector(
        steps in prop::collection::vec((datagram(), 0..700u64, any::<bool>()), 1..60), seed: u64,
    ) {
        let identity = SwimIdentity { node: NodeId(1), incarnation: 5 };
        let mut swim = Swim::new(SwimConfig::default(), identity, seed);
        let members: BTreeSet<NodeId> = (1..=4).map(NodeId).collect();
        let mut now = Instant::ZERO;
        swim.handle(now, SwimEvent::Members(members.clone()));
        let mut opinions = BTreeMap::new();
        let mut life = swim.identity();
        for (datagram, wait, is_true) in steps {
            now = now + Duration::from_millis(wait);
            swim.handle_timeout(now);
            // Most datagrams come from whom they say.
            let from = if is_true { datagram.header.src.node } else { NodeId(2) };
            let bytes = seal(&datagram.write().expect("few pieces of news"));
            swim.handle(now, SwimEvent::Datagram { from, bytes });
            while let Some(effect) = swim.poll_effect() {
                match effect {
                    SwimEffect::Send { to, bytes } => {
                        prop_assert!(bytes.len() <= 1100);
                        prop_assert!(members.contains(&to) && to != NodeId(1));
                    }
                    SwimEffect::BecameUp(node) => {
                        prop_assert_ne!(opinions.insert(node, true), Some(true));
                    }
                    SwimEffect::BecameDown(node) => {
                        prop_assert_ne!(opinions.insert(node, false), Some(false));
                    }
                    SwimEffect::Returned(node) => prop_assert!(members.contains(&node)),
                    SwimEffect::WasCalledDown | SwimEffect::Refused { .. } => {}
                }
            }
            prop_assert!(swim.identity() >= life, "a life never ends in a former one");
            life = swim.identity();
            prop_assert!(swim.alarms.count() <= 64, "{} alarms", swim.alarms.count());
        }
    }
}
