//! Stamps and locks of directories.

use std::fs;

use dynamo_storage::{Claimed, DirectoryStamp, StampError};

fn stamp(cluster: &str, node: &str) -> DirectoryStamp {
    DirectoryStamp { cluster: cluster.into(), node: node.into() }
}

#[test]
fn a_directory_is_fresh_once_and_known_ever_after() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("not/there/yet");
    let ours = stamp("c", "n");
    assert!(matches!(ours.claim(&directory).unwrap(), Claimed::Fresh(_)));
    fs::write(directory.join("data"), "rows").unwrap();
    for _ in 0..2 {
        assert!(matches!(ours.claim(&directory).unwrap(), Claimed::Known(_)));
    }
}

#[test]
fn only_one_claim_lives_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let ours = stamp("c", "n");
    let held = ours.claim(place.path()).unwrap();
    assert!(matches!(ours.claim(place.path()), Err(StampError::InUse { .. })));
    drop(held.into_lock());
    ours.claim(place.path()).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_by_name_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    drop(stamp("c1", "n1").claim(place.path()).unwrap());
    for other in [stamp("c1", "n2"), stamp("c2", "n1")] {
        let refused = other.claim(place.path()).unwrap_err();
        assert!(matches!(refused, StampError::Foreign { .. }));
        let message = refused.to_string();
        for name in ["c1", "n1", &other.cluster, &other.node] {
            assert!(message.contains(name), "{message}");
        }
    }
    assert!(matches!(stamp("c1", "n1").claim(place.path()).unwrap(), Claimed::Known(_)));
}

#[test]
fn files_without_a_stamp_are_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("somebody's file"), "").unwrap();
    let refused = stamp("c", "n").claim(place.path());
    assert!(matches!(refused, Err(StampError::Unstamped { .. })));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_claim_that_was_cut_short_can_be_made_again() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("STAMP.lock"), "").unwrap();
    fs::write(place.path().join("STAMP.new"), "storage st").unwrap();
    assert!(matches!(stamp("c", "n").claim(place.path()).unwrap(), Claimed::Fresh(_)));
}

#[test]
fn no_changed_byte_of_a_stamp_goes_unnoticed() {
    let place = tempfile::tempdir().unwrap();
    let ours = stamp("cluster", "node");
    drop(ours.claim(place.path()).unwrap());
    let file = place.path().join("STAMP");
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 4;
        fs::write(&file, changed).unwrap();
        assert!(matches!(ours.claim(place.path()), Err(StampError::Damaged { .. })), "byte {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert!(matches!(ours.claim(place.path()), Err(StampError::Damaged { .. })), "cut at {at}");
    }
    fs::write(&file, &whole).unwrap();
    ours.claim(place.path()).unwrap();
}

#[test]
fn names_with_line_breaks_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let refused = stamp("c", "n\nnode m").claim(place.path());
    assert!(matches!(refused, Err(StampError::InvalidName)));
}
