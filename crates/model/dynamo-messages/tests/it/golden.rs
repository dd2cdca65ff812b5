//! The bytes of every message are kept in `testdata/`.

use std::fmt::Write as _;
use std::path::Path;

use crate::samples;

const RENEW: &str = "DYNAMO_RENEW_GOLDEN";

#[test]
fn the_bytes_of_every_message_are_those_in_testdata() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let renew = std::env::var_os(RENEW).is_some();
    let mut expected_files = Vec::new();
    for (name, frame) in samples::frames() {
        let path = folder.join(format!("{name}.hex"));
        let found = hexadecimal(&frame);
        if renew {
            std::fs::write(&path, &found).unwrap();
        }
        let kept = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; see below", path.display()));
        assert_eq!(
            kept, found,
            "the wire format of {name} changed. Nodes of two releases must understand each other: \
             raise PROTOCOL_VERSION, then renew the files with {RENEW}=1 cargo test -p dynamo-messages"
        );
        expected_files.push(format!("{name}.hex"));
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(expected_files.contains(&file), "testdata/{file} belongs to no message");
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}
