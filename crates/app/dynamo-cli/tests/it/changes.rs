//! `cluster plan|commit|cancel|force` and `transfers`.

use dynamo_messages::ClusterChange;

use crate::fake_store::{FakeStore, text};

fn json(output: &[u8]) -> serde_json::Value {
    serde_json::from_slice(output).unwrap()
}

/// The lines of an output, with one space between words.
fn lines(output: &[u8]) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text(output).lines().map(words).collect()
}

fn join(node: &str) -> ClusterChange {
    ClusterChange::Join { node: node.into() }
}

#[test]
fn a_plan_is_shown_and_nothing_is_done() {
    let store = FakeStore::start(2);
    let plan = store.dynamo(&["cluster", "plan", "--join", "node-3", "--weight", "node-1=2"]);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let id = format!("feed{:028x}", 2);
    assert_eq!(
        lines(&plan.stdout),
        [
            format!("plan {id}"),
            "partitions changed 3 of 8".into(),
            "copies moved 3 of 8, at least 2 in any fair layout".into(),
            "data about 3.00 MiB, about 1m 15s if nothing else goes on".into(),
            "zone-safe 7 of 8 partitions, 8 before".into(),
            "out of reach 0 partitions".into(),
            "name id before after received sent".into(),
            "node-1 0000000000000001 4 2 0 3".into(),
            format!(
                "nothing is done yet; do it with: dynamo cluster commit --join node-3 \
                 --weight node-1=2 --plan {id}"
            ),
        ]
    );
    assert_eq!(store.changes(), []);

    let plan = json(&store.dynamo(&["cluster", "plan", "--join", "node-3", "--json"]).stdout);
    assert_eq!(plan["plan"], format!("feed{:028x}", 1));
    assert_eq!((&plan["committed"], &plan["links"][0]["copies"]), (&false.into(), &3.into()));
    assert_eq!(plan["nodes"][0]["node"], "0000000000000001");
}

#[test]
fn a_commit_asks_first_and_anything_but_a_yes_is_a_no() {
    let store = FakeStore::start(2);
    let commit = ["cluster", "commit", "--join", "node-3"];
    for answer in ["", "n\n", "\n", "perhaps\n"] {
        let refused = store.dynamo_with_input(&commit, answer.as_bytes());
        assert_eq!(refused.status.code(), Some(1), "{answer:?}");
        assert!(text(&refused.stderr).ends_with("nothing was done\n"), "{}", text(&refused.stderr));
    }
    assert_eq!(store.changes(), []);
    let done = store.dynamo_with_input(&commit, b"yes\n");
    assert!(done.status.success(), "{}", text(&done.stderr));
    let last = lines(&done.stdout).pop().unwrap();
    assert!(last.starts_with("committed: 3 of 8 partitions change, 3 copies move"), "{last}");
    assert_eq!(store.changes(), [join("node-3")]);
}

#[test]
fn a_plan_that_was_looked_at_is_committed_without_asking_while_it_is_still_the_same() {
    let store = FakeStore::start(2);
    let plan = json(&store.dynamo(&["cluster", "plan", "--join", "node-3", "--json"]).stdout);
    let id = plan["plan"].as_str().unwrap().to_owned();
    let commit = ["cluster", "commit", "--join", "node-3", "--plan", &id];
    assert!(store.dynamo(&commit).status.success());
    // Now the cluster is another one.
    let refused = store.dynamo(&commit);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.contains("another one than plan feed") && said.contains("nothing was done"),
        "{said}"
    );
    assert!(said.contains("`dynamo cluster plan --join node-3`"), "{said}");
    assert_eq!(store.changes(), [join("node-3")]);
}

#[test]
fn a_commit_whose_outcome_is_unknown_says_where_to_look_and_is_made_once() {
    let store = FakeStore::start(3);
    store.forget_outcomes();
    let unknown = store.dynamo(&["cluster", "commit", "--join", "node-4", "--yes"]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = text(&unknown.stderr);
    assert!(said.contains("outcome unknown") && said.contains("`dynamo transfers`"), "{said}");
    assert_eq!(store.changes(), [join("node-4")]);
}

#[test]
fn a_node_that_is_replaced_leaves_if_it_can_and_is_removed_if_it_is_down() {
    let store = FakeStore::start(3);
    let replace = ["cluster", "commit", "--replace", "node-2=node-4", "--yes", "--json"];
    assert_eq!(json(&store.dynamo(&replace).stdout)["committed"], true);
    assert_eq!(store.changes(), [ClusterChange::Leave { node: "node-2".into() }, join("node-4")]);

    store.see(2, false, "suspect");
    let refused = store.dynamo(&replace);
    let said = text(&refused.stderr);
    assert!(said.contains("--leave node-2 or --remove node-2"), "{said}");

    store.see(2, false, "down");
    let shown = store.dynamo(&["cluster", "plan", "--replace", "node-2=node-4"]);
    let warning = "no node that is up has a copy of 1 partitions";
    assert!(text(&shown.stdout).contains(warning), "{}", text(&shown.stdout));
    assert!(store.dynamo(&replace).status.success());
    assert_eq!(
        store.changes()[2..],
        [ClusterChange::Remove { node: "node-2".into() }, join("node-4")]
    );

    let unknown = store.dynamo(&["cluster", "plan", "--replace", "node-9=node-4"]);
    assert!(
        text(&unknown.stderr).contains("there is no member node-9"),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn moves_are_cancelled_and_forced() {
    let store = FakeStore::start(3);
    store.begin_moves(5);
    let cancelled = store.dynamo(&["cluster", "cancel"]);
    assert!(
        text(&cancelled.stdout).starts_with("5 moves cancelled"),
        "{}",
        text(&cancelled.stdout)
    );
    assert_eq!(json(&store.dynamo(&["cluster", "cancel", "--json"]).stdout)["moves"], 0);

    let force = ["cluster", "force", "--given-up", "node-2", "node-3"];
    let asked = store.dynamo_with_input(&force, b"no\n");
    assert_eq!(asked.status.code(), Some(1));
    let said = text(&asked.stdout);
    assert!(said.contains("acknowledged by node-2, node-3 alone is lost"), "{said}");
    assert_eq!(store.changes(), []);
    assert!(store.dynamo_with_input(&force, b"y\n").status.success());
    assert_eq!(store.changes().len(), 2);
}

#[test]
fn transfers_are_shown_until_nothing_moves() {
    let store = FakeStore::start(2);
    store.begin_moves(2);
    let shown = store.dynamo(&["transfers"]);
    assert_eq!(
        lines(&shown.stdout),
        [
            "6 of 8 partitions settled; on their way: 2 fenced; still leaving: node-1",
            "partition stage from to waits for records",
            "0 fenced node-1 node-2 node-2<>node-1 12",
            "1 fenced node-1 node-2 node-2<>node-1 12",
        ]
    );
    let watched = store.dynamo(&["transfers", "--watch"]);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    assert_eq!(text(&watched.stdout), "nothing moves\n");
    assert!(
        text(&watched.stderr).contains("7 of 8 partitions settled"),
        "{}",
        text(&watched.stderr)
    );

    store.begin_moves(1);
    let watched = store.dynamo(&["transfers", "--watch", "--json"]);
    let steps: Vec<_> = text(&watched.stdout).lines().map(|line| json(line.as_bytes())).collect();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0]["transfers"][0]["waiting"][0]["with"], "0000000000000001");
    assert_eq!((&steps[1]["settled"], &steps[1]["partitions"]), (&8.into(), &8.into()));
}
