//! Laws of the bytes: frames and hellos survive any cut and no damage.

use bytes::Bytes;
use dynamo_transport::PeerName;
use dynamo_transport::frame::{self, FrameDecoder, FrameError, HEADER_BYTES};
use dynamo_transport::hello::{HELLO_HEADER_BYTES, Hello, HelloError, HelloHeader};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

const PAYLOAD_BYTES_MAX: usize = 3000;

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = proptest::prop_oneof![0..20_usize, 0..=PAYLOAD_BYTES_MAX];
    vec(length.prop_flat_map(|length| vec(any::<u8>(), length)), 0..12)
}

fn stream(payloads: &[Vec<u8>]) -> Vec<u8> {
    payloads.iter().flat_map(|payload| [&frame::header(payload)[..], payload].concat()).collect()
}

/// Cuts bytes into chunks of these lengths, again and again.
fn cut(mut bytes: &[u8], lengths: &[usize]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*length).min(bytes.len()));
        chunks.push(Bytes::copy_from_slice(chunk));
        bytes = rest;
    }
    chunks
}

fn decode(chunks: Vec<Bytes>) -> (Vec<Bytes>, Result<bool, FrameError>) {
    let mut decoder = FrameDecoder::new(PAYLOAD_BYTES_MAX);
    let mut taken = Vec::new();
    for chunk in chunks {
        if let Err(error) = decoder.push(chunk, &mut taken) {
            return (taken, Err(error));
        }
    }
    (taken, Ok(decoder.is_at_boundary()))
}

fn decode_hello(bytes: &[u8]) -> Result<Hello, HelloError> {
    let (header, rest) =
        bytes.split_first_chunk::<HELLO_HEADER_BYTES>().ok_or(HelloError::Truncated)?;
    let header = HelloHeader::decode(*header)?;
    header.decode_body(rest.get(..header.body_bytes).ok_or(HelloError::Truncated)?)
}

fn hellos() -> impl Strategy<Value = Hello> {
    (any::<u16>(), any::<u16>(), "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", vec(any::<u8>(), 0..=64))
        .prop_map(|(a, b, name, fingerprint)| Hello {
            version_min: a.min(b),
            version_max: a.max(b),
            name: PeerName::new(&name).expect("made to be one"),
            fingerprint,
        })
}

proptest! {
    #[test]
    fn frames_come_out_the_same_however_the_stream_is_cut(
        payloads in payloads(),
        lengths in vec(1..4000_usize, 1..20),
        small in vec(1..12_usize, 1..5),
    ) {
        for lengths in [lengths, small] {
            let (taken, end) = decode(cut(&stream(&payloads), &lengths));
            prop_assert!(taken.iter().eq(payloads.iter()));
            prop_assert_eq!(end, Ok(true));
        }
    }

    #[test]
    fn a_stream_that_stops_early_gives_the_whole_frames_and_is_not_at_a_boundary(
        payloads in vec(vec(any::<u8>(), 0..50), 1..5),
        lengths in vec(1..40_usize, 1..5),
        missing in 1..HEADER_BYTES,
    ) {
        let mut bytes = stream(&payloads);
        bytes.truncate(bytes.len() - missing);
        let (taken, end) = decode(cut(&bytes, &lengths));
        prop_assert!(taken.iter().eq(&payloads[..payloads.len() - 1]));
        prop_assert_eq!(end, Ok(false));
    }

    #[test]
    fn a_flipped_bit_never_gives_another_payload(
        payload in vec(any::<u8>(), 1..100),
        at in any::<proptest::sample::Index>(),
        bit in 0..8_u32,
        lengths in vec(1..60_usize, 1..5),
    ) {
        let mut bytes = stream(std::slice::from_ref(&payload));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (taken, end) = decode(cut(&bytes, &lengths));
        // A longer length waits for bytes that do not come; everything else is noticed.
        prop_assert!(taken.is_empty());
        prop_assert!(end != Ok(true));
    }

    #[test]
    fn junk_neither_panics_nor_gives_more_than_it_holds(
        junk in vec(any::<u8>(), 0..500),
        lengths in vec(1..100_usize, 1..5),
    ) {
        let (taken, _) = decode(cut(&junk, &lengths));
        let held: usize = taken.iter().map(|frame| HEADER_BYTES + frame.len()).sum();
        prop_assert!(held <= junk.len());
    }

    #[test]
    fn a_hello_is_read_as_it_was_written(hello in hellos()) {
        prop_assert_eq!(decode_hello(&hello.encode()), Ok(hello));
    }

    #[test]
    fn a_damaged_hello_is_refused(
        hello in hellos(),
        at in any::<proptest::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut bytes = hello.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode_hello(&bytes).is_err());
    }

    #[test]
    fn junk_is_no_hello(junk in vec(any::<u8>(), 0..400)) {
        prop_assert!(decode_hello(&junk).is_err());
    }

    #[test]
    fn agreement_does_not_depend_on_who_asks(a in hellos(), b in hellos()) {
        use dynamo_transport::hello::Fingerprints::{Equal, EqualOrEmpty};
        for fingerprints in [Equal, EqualOrEmpty] {
            prop_assert_eq!(a.agree(&b, fingerprints), b.agree(&a, fingerprints));
        }
        let b = Hello { fingerprint: a.fingerprint.clone(), ..b };
        if let Ok(version) = a.agree(&b, Equal) {
            prop_assert!((a.version_min..=a.version_max).contains(&version));
            prop_assert!((b.version_min..=b.version_max).contains(&version));
        }
    }
}
