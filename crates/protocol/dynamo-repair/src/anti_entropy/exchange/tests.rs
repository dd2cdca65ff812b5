//! What one side of an exchange sends, takes and makes of it.

use alloc::vec;

use dynamo_types::{ActorId, Bucket, Key};
use dynamo_versioning::testing::version_of;
use dynamo_versioning::{Content, Hlc};

use super::*;

fn name(number: usize) -> ObjectName {
    let key = Key::new(alloc::format!("key-{number}")).unwrap();
    ObjectName { bucket: Bucket::new("carts").unwrap(), key }
}

fn dot(counter: u64) -> Dot {
    Dot::new(ActorId(1), counter)
}

/// A record of so many siblings with values of so many bytes.
fn record(siblings: u64, bytes: usize) -> Record {
    let siblings = (1..=siblings).map(|counter| {
        let mut sibling = version_of(dot(counter));
        let content = vec![counter.to_le_bytes()[0]; bytes].into();
        sibling.content = Content::Value { bytes: content, content_type: "".into() };
        sibling
    });
    let siblings: Vec<_> = siblings.collect();
    let context = siblings.iter().map(|sibling| sibling.dot).collect();
    Record::from_parts(context, Hlc(u64::MAX), siblings).unwrap()
}

fn differing(number: usize, held_by: HeldBy) -> Differing {
    Differing { name: name(number), held_by }
}

fn effects(exchange: &mut Exchange) -> Vec<ExchangeEffect> {
    core::iter::from_fn(|| exchange.poll_effect()).collect()
}

/// What is sent for one record, all of it acknowledged at once.
fn messages_of(record: &Record) -> Vec<StateMessage> {
    let mut exchange = Exchange::new(false, Sides::default());
    exchange.differ(vec![differing(0, HeldBy::Here)]);
    let mut messages = Vec::new();
    loop {
        let Some(effect) = exchange.poll_effect() else { return messages };
        match effect {
            ExchangeEffect::Read(name) => exchange.read(name, Some(record)),
            ExchangeEffect::Send(message) => {
                if let StateMessage::State { number, .. } = &message {
                    let number = *number;
                    let collected = Vec::new();
                    let stored = StateMessage::Stored { number, refused: false, collected };
                    assert!(exchange.receive(stored));
                }
                messages.push(message);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A side that expects one record and was told all of it that `messages` have, all stored.
fn told(messages: impl IntoIterator<Item = StateMessage>) -> Exchange {
    let mut exchange = Exchange::new(false, Sides::default());
    exchange.differ(vec![differing(0, HeldBy::There)]);
    exchange.found(true);
    exchange.say_sent(None);
    let sent = StateMessage::Sent { complete: true, horizon: None };
    for message in messages.into_iter().chain([sent]) {
        assert!(exchange.receive(message));
        for effect in effects(&mut exchange) {
            if let ExchangeEffect::Store { number, place, .. } = effect {
                exchange.stored(number, place, Ok(Vec::new()));
            }
        }
    }
    exchange
}

#[test]
fn all_pieces_of_a_record_make_the_exchange_complete_however_often_they_come() {
    let messages = messages_of(&record(4, 40_000));
    assert_eq!(messages.len(), 4, "one piece fills a message");
    assert_eq!(told(messages.clone()).outcome(), Some(Ok(None)));
    let doubled = messages.iter().chain(&messages).cloned();
    assert_eq!(told(doubled).outcome(), Some(Ok(None)));
}

#[test]
fn a_piece_that_is_missing_is_noticed_though_the_last_one_came() {
    let messages = messages_of(&record(4, 40_000));
    for missing in 0..4 {
        let mut some = messages.clone();
        some.remove(missing);
        let outcome = told(some).outcome();
        assert!(matches!(outcome, Some(Err(Faults { missing: true, .. }))), "{outcome:?}");
    }
}

#[test]
fn small_records_share_a_message() {
    let mut exchange = Exchange::new(false, Sides::default());
    exchange.differ((0..10).map(|number| differing(number, HeldBy::Both)).collect());
    let reads: Vec<_> = effects(&mut exchange);
    for effect in reads {
        let ExchangeEffect::Read(name) = effect else { panic!("{effect:?}") };
        exchange.read(name, Some(&record(1, 100)));
    }
    let sent = effects(&mut exchange);
    let [ExchangeEffect::Send(StateMessage::State { records, .. })] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(records.len(), 10);
    assert_eq!(exchange.backlog(), 20, "ten to be stored there, ten to come");
}

#[test]
fn no_more_than_the_window_is_read_or_under_way() {
    let mut exchange = Exchange::new(false, Sides::default());
    exchange.differ((0..100).map(|number| differing(number, HeldBy::Here)).collect());
    let (mut sent, mut answers) = (Vec::new(), 0);
    loop {
        match exchange.poll_effect() {
            Some(ExchangeEffect::Read(name)) => exchange.read(name, Some(&record(1, 50_000))),
            Some(ExchangeEffect::Send(StateMessage::State { number, .. })) => sent.push(number),
            Some(other) => panic!("{other:?}"),
            None => {
                let held = exchange.in_flight_bytes + exchange.outgoing_bytes;
                // Nobody knew how large they are when the first were read.
                let allowed = WINDOW_BYTES.max(READS_AT_ONCE * 50_200) + 50_200;
                assert!(held <= allowed, "{held} bytes");
                assert!(answers < 20 || held <= WINDOW_BYTES + 50_200, "{held} bytes");
                let Some(number) = sent.first().copied() else { break };
                sent.remove(0);
                answers += 1;
                let collected = Vec::new();
                assert!(exchange.receive(StateMessage::Stored {
                    number,
                    refused: false,
                    collected
                }));
            }
        }
    }
    assert_eq!((answers, exchange.backlog()), (100, 0));
}

#[test]
fn whoever_sends_beyond_the_window_ends_the_session() {
    let messages = messages_of(&record(20, 40_000));
    let mut exchange = Exchange::new(false, Sides::default());
    exchange.differ(vec![differing(0, HeldBy::There)]);
    // Nothing is ever stored.
    let taken = messages.into_iter().take_while(|message| exchange.receive(message.clone()));
    assert_eq!(taken.count(), WINDOW_BYTES / 40_000 + 1);
}

#[test]
fn what_nobody_asked_for_is_answered_and_not_stored() {
    let mut exchange = Exchange::new(false, Sides::default());
    let record = StateRecord { name: name(7), pieces: vec![record(1, 5)], last: true };
    assert!(exchange.receive(StateMessage::State { number: 0, records: vec![record] }));
    let answered = effects(&mut exchange);
    assert!(
        matches!(&answered[..], [ExchangeEffect::Send(StateMessage::Stored { .. })]),
        "{answered:?}"
    );
}

#[test]
fn only_an_incomplete_sender_is_told_what_was_collected_and_drops_it() {
    for incomplete in [true, false] {
        let mut receiver = Exchange::new(false, Sides::default());
        receiver.opened(incomplete);
        receiver.differ(vec![differing(0, HeldBy::There)]);
        let mut sender = Exchange::new(incomplete, Sides::default());
        sender.differ(vec![differing(0, HeldBy::Here)]);
        assert!(matches!(effects(&mut sender)[..], [ExchangeEffect::Read(_)]));
        sender.read(name(0), Some(&record(1, 5)));
        let sent = effects(&mut sender);
        let [ExchangeEffect::Send(state)] = &sent[..] else { panic!("{sent:?}") };
        assert!(receiver.receive(state.clone()));
        assert!(matches!(effects(&mut receiver)[..], [ExchangeEffect::Store { .. }]));
        receiver.stored(0, 0, Ok(vec![dot(1)]));
        let answer = effects(&mut receiver);
        let [ExchangeEffect::Send(stored)] = &answer[..] else { panic!("{answer:?}") };
        assert!(sender.receive(stored.clone()));
        let dropped = effects(&mut sender);
        match &dropped[..] {
            [ExchangeEffect::Drop { name: of, dots }] if incomplete => {
                assert_eq!((of, &dots[..]), (&name(0), &[dot(1)][..]));
            }
            other => assert!(other.is_empty() && !incomplete, "{other:?}"),
        }
    }
}

#[test]
fn a_refused_store_or_an_unreadable_record_leaves_both_sides_incomplete() {
    let state = messages_of(&record(1, 5)).remove(0);
    let mut receiver = Exchange::new(false, Sides::default());
    receiver.differ(vec![differing(0, HeldBy::There)]);
    receiver.found(true);
    assert!(receiver.receive(state));
    receiver.stored(0, 0, Err(()));
    receiver.say_sent(None);
    assert!(receiver.receive(StateMessage::Sent { complete: true, horizon: None }));
    assert!(matches!(receiver.outcome(), Some(Err(Faults { refused: true, .. }))));
    let refused = effects(&mut receiver).into_iter().any(|effect| {
        matches!(effect, ExchangeEffect::Send(StateMessage::Stored { refused: true, .. }))
    });
    assert!(refused, "the sender is told");

    let mut sender = Exchange::new(false, Sides::default());
    sender.differ(vec![differing(0, HeldBy::Here)]);
    assert!(matches!(effects(&mut sender)[..], [ExchangeEffect::Read(_)]));
    sender.unreadable();
    sender.found(true);
    sender.say_sent(None);
    let told = effects(&mut sender).into_iter().any(|effect| {
        matches!(effect, ExchangeEffect::Send(StateMessage::Sent { complete: false, .. }))
    });
    assert!(told, "the receiver is told");
}
