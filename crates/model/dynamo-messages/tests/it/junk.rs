//! Bytes that are no message are refused, whatever they are, and what is accepted is consistent.

use bytes::Bytes;
use dynamo_messages::*;
use dynamo_versioning::Hlc;
use proptest::prelude::*;

use crate::samples;

/// Decodes as both kinds of traffic; what is accepted must encode to a frame that decodes equal.
fn decode_both(frame: &Bytes) {
    if let Ok(envelope) = decode_peer(frame.clone()) {
        assert_eq!(decode_peer(encode_peer(&envelope)), Ok(envelope));
    }
    if let Ok(message) = decode_client(frame.clone()) {
        assert_eq!(decode_client(encode_client(&message)), Ok(message));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_damaged_frame_never_panics(
        sample in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        thread_local! {
            static FRAMES: Vec<(&'static str, Bytes)> = samples::frames();
        }
        let mut frame = FRAMES.with(|frames| sample.get(frames).1.to_vec());
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] ^= byte;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        decode_both(&frame.into());
    }

    #[test]
    fn noise_never_panics(kind in any::<u8>(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut frame = vec![kind];
        frame.extend(noise);
        decode_both(&frame.into());
    }
}

#[test]
fn junk_in_front_of_an_archive_changes_nothing() {
    for (name, message) in samples::peer() {
        if matches!(message, PeerMessage::ForwardReply { .. }) {
            continue; // its fixed head goes on behind kind and clock
        }
        let envelope = Envelope { hlc: Hlc(1), message };
        let frame = encode_peer(&envelope);
        let mut stuffed = frame[..9].to_vec();
        stuffed.extend([0xee; 13]);
        stuffed.extend_from_slice(&frame[9..]);
        assert_eq!(decode_peer(stuffed.into()), Ok(envelope), "{name}");
    }
}

#[test]
fn a_refusal_names_message_and_field() {
    let (_, message) = samples::peer().swap_remove(10);
    let frame = encode_peer(&Envelope { hlc: Hlc(1), message });
    let mut frame = frame.to_vec();
    let at = frame.windows(5).position(|bytes| bytes == b"carts").unwrap();
    frame[at] = b'/';
    let error = decode_peer(frame.into()).unwrap_err();
    assert!(
        matches!(error, DecodeError::Field { message: "ask bucket", field: "bucket", .. }),
        "{error:?}"
    );
}

#[test]
fn more_than_a_receiver_takes_is_refused() {
    let too_much = [
        PeerMessage::Gossip { bytes: vec![0; (4 << 20) + 1].into() },
        PeerMessage::BucketGroups { groups: vec![0; 257] },
    ];
    for message in too_much {
        let refused = decode_peer(encode_peer(&Envelope { hlc: Hlc(1), message }));
        assert!(matches!(refused, Err(DecodeError::Field { .. })), "{refused:?}");
    }
}

#[test]
fn each_direction_refuses_the_messages_of_the_other() {
    for (name, message) in samples::peer() {
        let frame = encode_peer(&Envelope { hlc: Hlc(1), message });
        let refused = decode_client(frame);
        assert!(matches!(refused, Err(DecodeError::UnknownKind { .. })), "{name}: {refused:?}");
    }
    for (name, request) in samples::requests() {
        let frame = encode_client(&ClientFrame::Request { id: 1, request });
        let refused = decode_peer(frame);
        assert!(matches!(refused, Err(DecodeError::UnknownKind { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn frames_too_short_for_a_head_are_refused() {
    for length in 0..9 {
        let frame = Bytes::from(vec![1; length]);
        assert_eq!(decode_peer(frame.clone()), Err(DecodeError::Truncated { length }));
        assert_eq!(decode_client(frame), Err(DecodeError::Truncated { length }));
    }
}
