//! What is encoded decodes equal, and what is decoded is not copied.

use bytes::Bytes;
use dynamo_messages::*;
use dynamo_types::RequestId;
use dynamo_versioning::{Content, Hlc};
use proptest::prelude::*;

use crate::any_message::{client_frame, envelope};
use crate::samples;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_message_between_nodes_decodes_equal(envelope in envelope()) {
        prop_assert_eq!(decode_peer(encode_peer(&envelope)), Ok(envelope));
    }

    #[test]
    fn a_message_of_a_client_decodes_equal(frame in client_frame()) {
        prop_assert_eq!(decode_client(encode_client(&frame)), Ok(frame));
    }

    #[test]
    fn a_frame_decodes_equal_wherever_it_lies_in_memory(
        envelope in envelope(),
        shift in 1..16usize,
    ) {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&encode_peer(&envelope));
        prop_assert_eq!(decode_peer(Bytes::from(shifted).slice(shift..)), Ok(envelope));
    }
}

#[test]
fn every_sample_decodes_equal() {
    for (name, message) in samples::peer() {
        let envelope = Envelope { hlc: Hlc(1), message };
        assert_eq!(decode_peer(encode_peer(&envelope)), Ok(envelope), "{name}");
    }
    for (name, request) in samples::requests() {
        let frame = ClientFrame::Request { id: 2, request };
        assert_eq!(decode_client(encode_client(&frame)), Ok(frame), "{name}");
    }
    for (name, reply) in samples::replies() {
        let frame = ClientFrame::Reply { id: 3, reply };
        assert_eq!(decode_client(encode_client(&frame)), Ok(frame), "{name}");
    }
}

#[test]
fn a_value_is_a_slice_of_its_frame_and_a_name_is_not() {
    let mutation = Mutation {
        name: samples::name(),
        content: Content::Value { bytes: vec![7; 100_000].into(), content_type: Bytes::new() },
        contexts: Vec::new(),
        request: RequestId(1),
        retry: false,
        options: Options::default(),
    };
    let request = Request::Mutate(mutation);
    let frame = encode_client(&ClientFrame::Request { id: 1, request });
    assert!(frame.len() < 100_500, "{} bytes around 100,000 of a value", frame.len());
    let inside = frame.as_ptr_range();
    let Ok(ClientFrame::Request { request: Request::Mutate(read), .. }) =
        decode_client(frame.clone())
    else {
        panic!("the frame is sound");
    };
    let Content::Value { bytes, .. } = read.content else { panic!("a value was sent") };
    assert_eq!(bytes.len(), 100_000);
    assert!(inside.contains(&bytes.as_ptr()), "the value was copied");
    for name in [read.name.bucket.as_bytes(), read.name.key.as_bytes()] {
        assert!(!inside.contains(&name.as_ptr()), "who keeps the name keeps the frame");
    }
}
