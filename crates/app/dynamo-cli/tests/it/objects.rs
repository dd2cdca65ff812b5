//! `put`, `get`, `delete`, `list`, `bucket`, `cluster`, `ring`, `explain`.

use crate::fake_store::{FakeStore, argument, text};

#[test]
fn a_value_comes_back_to_the_byte() {
    let store = FakeStore::start(2);
    let value: Vec<u8> = (0..=255).collect();
    let put = store.dynamo_with_input(&["put", "carts", "a/b c"], &value);
    assert!(put.status.success(), "{}", text(&put.stderr));
    assert!(text(&put.stdout).contains("context: "), "{}", text(&put.stdout));
    let get = store.dynamo(&["get", "carts", "a/b c"]);
    assert!(get.status.success());
    assert_eq!(get.stdout, value);

    let file = store.path("value");
    std::fs::write(&file, "from a file").unwrap();
    let put = store.dynamo(&["put", "carts", "f", &format!("@{}", argument(&file))]);
    assert!(put.status.success());
    assert_eq!(text(&store.dynamo(&["get", "carts", "f"]).stdout), "from a file");
}

#[test]
fn what_is_absent_ends_with_4_and_siblings_with_3() {
    let store = FakeStore::start(1);
    let absent = store.dynamo(&["get", "carts", "k"]);
    assert_eq!(absent.status.code(), Some(4));
    assert!(absent.stdout.is_empty());
    assert!(text(&absent.stderr).contains("carts/k"));

    store.add("carts", b"k", "milk", "text/plain");
    store.add("carts", b"k", "bread", "text/plain");
    let several = store.dynamo(&["get", "carts", "k"]);
    assert_eq!(several.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&several.stdout).unwrap();
    assert_eq!(json["siblings"][0]["value"], "bWlsaw==");
    assert_eq!(json["siblings"][1]["content_type"], "text/plain");
    assert_eq!(json["siblings"][0]["written_at"], "2007-11-28T00:00:00.000000Z");

    let context = json["context"].as_str().unwrap();
    let put = store.dynamo(&["put", "carts", "k", "both", "--context", context]);
    assert!(put.status.success());
    assert_eq!(text(&store.dynamo(&["get", "carts", "k"]).stdout), "both");
}

#[test]
fn a_delete_leaves_nothing() {
    let store = FakeStore::start(1);
    store.add("carts", b"k", "milk", "text/plain");
    assert!(store.dynamo(&["delete", "carts", "k"]).status.success());
    assert_eq!(store.dynamo(&["get", "carts", "k"]).status.code(), Some(4));
}

#[test]
fn a_key_that_is_no_text_is_written_in_base64() {
    let store = FakeStore::start(1);
    store.add("carts", &[0xff, 0], "v", "text/plain");
    let get = store.dynamo(&["get", "carts", "/wA=", "--key-base64"]);
    assert_eq!(text(&get.stdout), "v");
    assert_eq!(text(&store.dynamo(&["list", "carts", "--key-base64"]).stdout), "/wA=\n");
}

#[test]
fn keys_are_listed_up_to_the_limit() {
    let store = FakeStore::start(1);
    for key in ["a", "b", "c"] {
        store.add("carts", key.as_bytes(), "v", "text/plain");
    }
    assert_eq!(text(&store.dynamo(&["list", "carts"]).stdout), "a\nb\nc\n");
    assert_eq!(text(&store.dynamo(&["list", "carts", "--limit", "2"]).stdout), "a\nb\n");
}

#[test]
fn what_is_not_named_stays_as_it_is_in_a_bucket() {
    let store = FakeStore::start(1);
    let set = store.dynamo(&["bucket", "set", "s", "--profile", "timestamp"]);
    assert!(set.status.success(), "{}", text(&set.stderr));
    assert!(store.dynamo(&["bucket", "set", "s", "--expiry-seconds", "60"]).status.success());
    let shown = store.dynamo(&["bucket", "show", "s", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(json["profile"], "timestamp");
    assert_eq!(json["expiry_ms"], 60_000);
    assert_eq!(json["version"], 2);
    assert!(text(&store.dynamo(&["bucket", "list"]).stdout).contains("timestamp"));
}

#[test]
fn members_and_table_are_shown() {
    let store = FakeStore::start(2);
    let cluster = store.dynamo(&["cluster"]);
    let shown = text(&cluster.stdout);
    assert!(shown.contains("node-2") && shown.contains("liveness"), "{shown}");
    let ring = store.dynamo(&["ring", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&ring.stdout).unwrap();
    assert_eq!(json["partitions"].as_array().unwrap().len(), 8);
}

#[test]
fn a_refusal_says_why_and_ends_with_1() {
    let store = FakeStore::start(1);
    let put = store.dynamo(&["put", "carts", "k", "v", "--context", "garbled"]);
    assert_eq!(put.status.code(), Some(1));
    assert!(text(&put.stderr).contains("not a context of this store"), "{}", text(&put.stderr));
}

#[test]
fn an_explanation_says_who_is_behind() {
    let store = FakeStore::start(3);
    store.add("carts", b"k", "milk", "text/plain");
    let all = store.dynamo(&["explain", "carts", "k"]);
    assert!(all.status.success(), "{}", text(&all.stderr));
    assert!(text(&all.stdout).ends_with("all replicas agree\n"), "{}", text(&all.stdout));

    store.lose(2, "k");
    let table = store.dynamo(&["explain", "carts", "k"]);
    let lines: Vec<Vec<&str>> =
        text(&table.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "carts/k lies in partition 3");
    assert_eq!(lines[2][..3], ["node-1", "present", "feedbeef"]);
    assert_eq!(lines[2][4..6], ["value", "4"]);
    assert_eq!(lines[3][..3], ["node-2", "missing", "-"]);
    assert_eq!(lines[5].join(" "), "behind: node-2");

    let json = store.dynamo(&["explain", "carts", "k", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["key"], &json["agree"]), (&"k".into(), &false.into()));
    assert_eq!(json["behind"], serde_json::json!(["node-2"]));
    assert_eq!(json["replicas"][1]["digest"], serde_json::Value::Null);
    assert_eq!(json["replicas"][0]["siblings"][0]["bytes"], 4);
}

#[test]
fn an_explanation_has_a_line_for_each_hint() {
    let store = FakeStore::start(3);
    store.add("carts", b"k", "milk", "text/plain");
    let json = |output: &[u8]| serde_json::from_slice::<serde_json::Value>(output).unwrap();
    let without = json(&store.dynamo(&["explain", "carts", "k", "--json"]).stdout);
    assert_eq!(without["hints"], serde_json::json!([]));
    assert_eq!(without["verified_until"], serde_json::Value::Null);

    store.keep_hint(2, "k");
    let table = store.dynamo(&["explain", "carts", "k"]);
    let lines: Vec<Vec<&str>> =
        text(&table.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[5][..3], ["node-2", "hint", "cafe0000"]);
    assert_eq!(lines[5][4..6], ["value", "4"]);
    assert_eq!(lines[6].join(" "), "all replicas agree");
    assert!(lines[7].join(" ").starts_with("the partition's replicas were last found equal at 20"));

    let with = json(&store.dynamo(&["explain", "carts", "k", "--json"]).stdout);
    assert_eq!(with["hints"][0]["name"], "node-2");
    assert_eq!(with["hints"][0]["digest"], format!("cafe{}", "0".repeat(28)));
    assert_eq!(with["hints"][0]["siblings"], with["replicas"][1]["siblings"]);
    assert!(with["verified_until"].as_str().unwrap().ends_with('Z'));
}
