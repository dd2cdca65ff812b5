//! The table of settings against itself and its documentation page.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[test]
fn every_default_is_understood_and_equal_to_the_machines_own() {
    let settings = Settings::defaults(Path::new("/node"));
    assert_eq!(settings.timing, Timing::default());
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.genesis, Path::new("/node/genesis.toml"));
}

#[test]
fn a_node_says_of_itself_what_the_genesis_says_unless_it_is_told_otherwise() {
    let genesis = MemberInfo {
        node: dynamo_types::NodeId(1),
        name: "node-1".into(),
        address: "old:7101".into(),
        http_address: "old:8101".into(),
        weight: 1,
        zone: "z".into(),
    };
    let mut settings = Settings::defaults(Path::new("/"));
    assert_eq!(settings.advertise.over(&genesis), Announcement::from(&genesis));
    let given = Given { text: "new.host:7101", base: Path::new("/") };
    (Setting::find("advertise.address").unwrap().apply)(&mut settings, given).unwrap();
    let announced = settings.advertise.over(&genesis);
    assert_eq!((&*announced.address, &*announced.name), ("new.host:7101", "node-1"));
}

#[test]
fn keys_and_variables_are_unique() {
    let keys: BTreeSet<_> = SETTINGS.iter().map(|s| s.key).collect();
    let variables: BTreeSet<_> = SETTINGS.iter().map(Setting::variable).collect();
    assert_eq!((keys.len(), variables.len()), (SETTINGS.len(), SETTINGS.len()));
}

#[test]
fn the_documentation_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/CONFIGURATION.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == explain_markdown(),
        "docs/CONFIGURATION.md is behind the table: renew it with \
         `cargo run -p dynamo-node -- config --explain --markdown > docs/CONFIGURATION.md`"
    );
}

#[test]
fn what_cannot_be_understood_is_refused_with_the_reason() {
    let mut settings = Settings::defaults(Path::new("/"));
    for (key, text, expected) in [
        ("http.address", "nowhere", "neither `genesis` nor an address"),
        ("limits.value_bytes_max", "17MiB", "is not from 1 bytes to 16777216 bytes"),
        ("limits.siblings_max", "-1", "not a whole number"),
        ("timing.request_timeout", "2", "not a duration"),
        ("log.format", "xml", "neither `text` nor `json`"),
        ("http.insecure", "yes", "neither `true` nor `false`"),
        ("storage.cache_bytes", "1 TB", "not a size"),
        ("advertise.address", "host", "not host:port"),
        ("advertise.http_address", "host:0", "not host:port"),
        ("advertise.name", "a\nb", "printable"),
        ("join.zone", "a b", "a zone has 1 to 64 letters"),
        ("join.weight", "0", "is not from 1 to"),
    ] {
        let given = Given { text, base: Path::new("/") };
        let refused = (Setting::find(key).unwrap().apply)(&mut settings, given).unwrap_err();
        assert!(refused.contains(expected), "{key} = {text}: {refused}");
    }
}
