//! Bytes on the wire that must not change by accident.

use dynamo_transport::frame;
use dynamo_transport::hello::{HELLO_HEADER_BYTES, Hello, HelloHeader};

use crate::raw;
use crate::world::name;

const HELLO: [u8; 24] = [
    17, 0, 1, 0xa7, 0x86, 0x1f, 0x88, // body of 17 bytes, format 1, checksum
    1, 0, 2, 1, // versions 1 to 258
    4, b'n', b'-', b'1', b'7', // name
    7, b'c', b'l', b'u', b's', b't', b'e', b'r', // fingerprint
];

fn hello() -> Hello {
    Hello { version_min: 1, version_max: 258, name: name("n-17"), fingerprint: b"cluster".to_vec() }
}

#[test]
fn the_bytes_of_a_hello_stay_as_they_are() {
    assert_eq!(hello().encode(), HELLO);
    assert_eq!(raw::hello(1, 258, "n-17", b"cluster"), HELLO);
    let (header, body) = HELLO.split_first_chunk::<HELLO_HEADER_BYTES>().unwrap();
    assert_eq!(HelloHeader::decode(*header).unwrap().decode_body(body), Ok(hello()));
}

#[test]
fn the_header_of_a_frame_stays_as_it_is() {
    assert_eq!(frame::header(b"payload"), [7, 0, 0, 0, 1, 0, 0x15, 0x6a, 0x2c, 0x42]);
    assert_eq!(frame::header(&[0; 0x1234])[..6], [0x34, 0x12, 0, 0, 1, 0]);
}
