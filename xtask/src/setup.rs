//! `cargo xtask setup`: what the build needs, installed or named; instant when all is there.
//!
//! [`toolchain`] looks at the programs and libraries of the machine, [`archive`] compiles RocksDB
//! once for every clone on it. Every task that builds calls this first, so that a fresh clone
//! needs no other command.

mod archive;
mod toolchain;

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use archive::Archive;

/// Checks the machine, compiles librocksdb if it is not there, and links it into `target/`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    toolchain::ensure()?;
    let archive = archive()?;
    archive.ensure(archive::compile)?;
    archive.link_from(&workspace.own_target().join("rocksdb"))
}

/// Whether librocksdb is compiled already.
pub(crate) fn is_compiled() -> Result<bool> {
    Ok(archive()?.is_there())
}

fn archive() -> Result<Archive> {
    let home = env::var_os("HOME").context("HOME is not set: RocksDB is kept in ~/.cache")?;
    Ok(Archive::of_this_machine(&PathBuf::from(home).join(".cache/dynamo")))
}
