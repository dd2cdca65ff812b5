//! The archive's states: missing, half made, there, made by someone else meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use super::{Archive, LIBROCKSDB_SYS, ROCKSDB, out_directory};

fn archive_in(cache: &Path) -> Archive {
    Archive { directory: cache.join("rocksdb-test"), cxx_flags: "" }
}

/// Stands in for the compiler: leaves a file where the build directory is.
fn quick_compiler(archive: &Archive) -> Result<PathBuf> {
    let made = archive.build_directory().join("made.a");
    fs::write(&made, "archive")?;
    Ok(made)
}

fn must_not_compile(_: &Archive) -> Result<PathBuf> {
    bail!("compiled again")
}

#[test]
fn versions_are_those_of_the_lock_file() {
    let lock = include_str!("../../../../Cargo.lock");
    let entry = format!("name = \"librocksdb-sys\"\nversion = \"{LIBROCKSDB_SYS}+{ROCKSDB}\"");
    assert!(lock.contains(&entry), "Cargo.lock has no {entry}: set the constants of archive.rs");
}

#[test]
fn the_first_setup_compiles_and_the_second_finds_it_done() {
    let cache = tempfile::tempdir().unwrap();
    let archive = archive_in(cache.path());
    archive.ensure(quick_compiler).unwrap();
    assert_eq!(fs::read_to_string(archive.library()).unwrap(), "archive");
    archive.ensure(must_not_compile).unwrap();
}

#[test]
fn a_failed_compile_leaves_no_archive_and_can_be_tried_again() {
    let cache = tempfile::tempdir().unwrap();
    let archive = archive_in(cache.path());
    assert!(archive.ensure(must_not_compile).is_err());
    assert!(!archive.library().exists());
    archive.ensure(quick_compiler).unwrap();
    assert!(archive.library().is_file());
}

#[test]
fn setups_side_by_side_compile_once() {
    let cache = tempfile::tempdir().unwrap();
    let compiled = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                archive_in(cache.path()).ensure(|archive| {
                    compiled.fetch_add(1, Ordering::SeqCst);
                    quick_compiler(archive)
                })
            });
        }
    });
    assert_eq!(compiled.load(Ordering::SeqCst), 1);
}

#[test]
fn files_that_are_right_are_left_as_old_as_they_are() {
    let cache = tempfile::tempdir().unwrap();
    let archive = archive_in(cache.path());
    archive.write_build_crate().unwrap();
    let manifest = archive.build_directory().join("Cargo.toml");
    let written = fs::metadata(&manifest).unwrap().modified().unwrap();
    archive.write_build_crate().unwrap();
    assert_eq!(fs::metadata(&manifest).unwrap().modified().unwrap(), written);
}

#[test]
fn the_link_is_made_with_its_directory_and_replaced_when_it_is_old() {
    let cache = tempfile::tempdir().unwrap();
    let archive = archive_in(cache.path());
    let link = cache.path().join("clone/target/rocksdb");
    archive.link_from(&link).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), archive.directory);
    let newer = Archive { directory: cache.path().join("newer"), cxx_flags: "" };
    newer.link_from(&link).unwrap();
    newer.link_from(&link).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), newer.directory);
    assert_eq!(link.parent().unwrap().read_dir().unwrap().count(), 1, "no half link stays");
}

#[test]
fn a_directory_in_the_place_of_the_link_is_not_removed() {
    let cache = tempfile::tempdir().unwrap();
    let link = cache.path().join("rocksdb");
    fs::create_dir(&link).unwrap();
    let error = archive_in(cache.path()).link_from(&link).unwrap_err();
    assert!(error.to_string().contains("remove it"), "{error}");
}

#[test]
fn the_archive_is_where_the_build_script_of_the_binding_says() {
    let message = r#"{"reason":"build-script-executed",
        "package_id":"registry+https://example.org#librocksdb-sys@0.19.0","out_dir":"/b/out"}"#;
    assert_eq!(out_directory(message), Some(PathBuf::from("/b/out")));
    assert_eq!(out_directory(&message.replace("librocksdb-sys", "lz4-sys")), None);
    assert_eq!(out_directory(&message.replace("build-script-executed", "x")), None);
    assert_eq!(out_directory("   Compiling"), None);
}
