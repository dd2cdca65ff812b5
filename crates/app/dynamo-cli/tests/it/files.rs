//! `import`, `export` and `verify`.

use crate::fake_store::{FakeStore, argument, text};

fn records(count: u32) -> String {
    (0..count)
        .map(|n| match n % 3 {
            0 => format!("{{\"key\":\"k{n:05}\",\"value\":\"text {n}\"}}\n"),
            1 => format!("{{\"key\":\"k{n:05}\",\"value\":{{\"n\":{n}}}}}\n"),
            _ => format!(
                "{{\"key\":\"k{n:05}\",\"value_base64\":\"AAH/\",\"content_type\":\"x/y\"}}\n"
            ),
        })
        .collect()
}

#[test]
fn what_is_imported_is_exported_and_imported_again_without_a_change() {
    let store = FakeStore::start(2);
    let (file, out, again) = (store.path("in"), store.path("out"), store.path("again"));
    std::fs::write(&file, records(2500)).unwrap();
    let import = store.dynamo(&["import", "b", argument(&file)]);
    assert!(import.status.success(), "{}", text(&import.stderr));
    assert!(text(&import.stderr).contains("2500 objects written"), "{}", text(&import.stderr));
    assert_eq!(store.puts(), 2500);

    let repeated = store.dynamo(&["import", "b", argument(&file)]);
    assert!(repeated.status.success());
    assert!(text(&repeated.stderr).contains("2500 unchanged"), "{}", text(&repeated.stderr));
    assert_eq!(store.puts(), 2500, "importing twice writes nothing");

    assert!(store.dynamo(&["export", "b", argument(&out)]).status.success());
    assert!(store.dynamo(&["import", "copy", argument(&out)]).status.success());
    assert!(store.dynamo(&["export", "copy", argument(&again)]).status.success());
    let exported = std::fs::read_to_string(&out).unwrap();
    assert_eq!(exported.lines().count(), 2500);
    assert_eq!(exported, std::fs::read_to_string(&again).unwrap());
}

#[test]
fn an_import_replaces_what_was_there_instead_of_standing_beside_it() {
    let store = FakeStore::start(1);
    store.add("b", b"k", "old", "text/plain");
    store.add("b", b"k", "older", "text/plain");
    let lines = b"{\"key\":\"k\",\"value\":\"new\"}\n";
    assert!(store.dynamo_with_input(&["import", "b", "-"], lines).status.success());
    assert_eq!(text(&store.dynamo(&["get", "b", "k"]).stdout), "new");
}

#[test]
fn siblings_are_exported_a_line_each_and_imported_side_by_side() {
    let store = FakeStore::start(1);
    store.add("b", b"k", "milk", "text/plain; charset=utf-8");
    store.add("b", b"k", "bread", "application/octet-stream");
    let exported = store.dynamo(&["export", "b"]).stdout;
    assert_eq!(text(&exported).lines().count(), 2);
    for _ in 0..2 {
        let import = store.dynamo_with_input(&["import", "copy", "-"], &exported);
        assert!(import.status.success(), "{}", text(&import.stderr));
        assert_eq!(store.dynamo(&["export", "copy"]).stdout, exported);
    }
}

#[test]
fn a_bad_line_is_named_and_the_others_are_imported() {
    let store = FakeStore::start(1);
    let lines = b"{\"key\":\"a\",\"value\":1}\n{\"key\":2}\n{\"key\":\"c\",\"value\":3}\n";
    let import = store.dynamo_with_input(&["import", "b", "-"], lines);
    assert_eq!(import.status.code(), Some(1));
    assert!(text(&import.stderr).contains("line 2: "), "{}", text(&import.stderr));
    assert!(text(&import.stderr).contains("2 objects written, 0 unchanged, 1 lines failed"));
    assert_eq!(store.puts(), 2);
}

#[test]
fn verify_finds_the_node_that_lost_an_object() {
    let store = FakeStore::start(3);
    let file = store.path("in");
    std::fs::write(&file, records(50)).unwrap();
    assert!(store.dynamo(&["import", "b", argument(&file)]).status.success());
    let sound = store.dynamo(&["verify", "b", argument(&file)]);
    assert!(sound.status.success(), "{}", text(&sound.stderr));
    assert!(text(&sound.stdout).contains("50 objects compared at 3 nodes: 0 differences"));

    store.lose(2, "k00007");
    let differs = store.dynamo(&["verify", "b", argument(&file)]);
    assert_eq!(differs.status.code(), Some(1));
    assert!(text(&differs.stdout).contains("node-2: 1 differences"), "{}", text(&differs.stdout));
    assert!(text(&differs.stderr).contains("k00007"), "{}", text(&differs.stderr));
}
