//! The experiments run, at sizes that take no time, and give the same for the same seed.

use std::fs;
use std::path::Path;

use dynamo_experiments::{gossip, load_balance, placement};

/// Runs something twice; returns what files it wrote, without those of times.
fn twice(run: impl Fn(&Path)) -> Vec<(String, String)> {
    let once = || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        run(directory.path());
        let files = fs::read_dir(directory.path()).expect("it is there");
        let mut files: Vec<(String, String)> = files
            .map(|file| {
                let file = file.expect("a file of the directory");
                let name = file.file_name().into_string().expect("names are ASCII");
                (name, fs::read_to_string(file.path()).expect("text"))
            })
            .filter(|(name, _)| !name.contains("times") && !name.contains("planning"))
            .collect();
        files.sort();
        files
    };
    let files = once();
    assert_eq!(files, once(), "the same seed gives the same bytes");
    for (name, text) in &files {
        assert!(!text.contains("NaN") && !text.contains("inf"), "{name}:\n{text}");
    }
    files
}

fn names(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn strategies_are_compared_at_equal_sizes() {
    let options = load_balance::Options {
        nodes: 6,
        tokens_bits: 4,
        partitions: 64,
        draws: 3,
        ..load_balance::Options::default()
    };
    let files = twice(|directory| load_balance::run(&options, directory).unwrap());
    assert_eq!(names(&files), ["load-balance.csv", "load-balance.svg"]);
    // 32 partitions of three copies on six nodes: 16 each.
    assert!(files[0].1.contains("explicit sets,96,1,1.0000,1.0000,1.0000\n"), "{}", files[0].1);
    assert_eq!(files[0].1.lines().count(), 1 + 3 * 5 + 5);
}

#[test]
fn placement_is_measured_at_every_size() {
    let options = placement::Options { nodes: vec![3, 7], partitions: vec![16, 32] };
    let files = twice(|directory| placement::run(&options, directory).unwrap());
    let expected = ["ring-scale-balance.svg", "ring-scale-movement.svg", "ring-scale.csv"];
    assert_eq!(names(&files), expected);
    for row in files[2].1.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(cells[4], cells[5], "no more is moved than has to be: {row}");
    }
}

#[test]
fn news_reaches_every_node_in_either_rhythm() {
    let options = gossip::Options { nodes: vec![3, 8], draws: 2, seed: 7 };
    let files = twice(|directory| gossip::run(&options, directory).unwrap());
    assert_eq!(names(&files), ["gossip-bytes.svg", "gossip-time.svg", "gossip.csv"]);
    assert_eq!(files[2].1.lines().count(), 1 + 4);
}
