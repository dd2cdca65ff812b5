//! librocksdb, compiled once per machine and shared by every clone on it.
//!
//! RocksDB is a third of an hour of C++. Cargo would compile it again for each clone, target
//! directory and profile, so it is compiled here, beside all of them, and the workspace links the
//! finished archive: `.cargo/config.toml` points `ROCKSDB_LIB_DIR` at the link in `target/`.
//!
//! ```text
//! ~/.cache/dynamo/rocksdb-11.8.1-lz4-sse42/     one directory per version and compiler flags
//!     setup.lock                                held while one process compiles
//!     build/                                    a crate that only depends on librocksdb-sys
//!     lib/librocksdb.a                          appears whole, by a rename
//! ```

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::console::progress;
use crate::workspace::{cargo_program, is_about_this_package, written};

/// The binding, exactly: its version is the one in Cargo.lock, so that headers and archive agree.
const LIBROCKSDB_SYS: &str = "0.19.0";
/// The RocksDB inside that binding.
const ROCKSDB: &str = "11.8.1";
/// CRC32C and carry-less multiplication: RocksDB checks every block with them.
const SSE42_FLAGS: &str = "-msse4.2 -mpclmul";

const LIBRARY: &str = "librocksdb.a";

/// Variables that would change what is compiled, or where.
const MISLEADING: [&str; 9] = [
    "ROCKSDB_LIB_DIR",
    "ROCKSDB_STATIC",
    "ROCKSDB_COMPILE",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_PROFILE_RELEASE_LTO",
];

/// One compiled RocksDB: its version and flags are in the directory's name.
#[derive(Debug)]
pub(super) struct Archive {
    directory: PathBuf,
    cxx_flags: &'static str,
}

impl Archive {
    /// The archive for this processor, kept under `cache`.
    pub(super) fn of_this_machine(cache: &Path) -> Self {
        #[cfg(target_arch = "x86_64")]
        let has_sse42 = is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq");
        #[cfg(not(target_arch = "x86_64"))]
        let has_sse42 = false;
        let (suffix, cxx_flags) = if has_sse42 { ("-sse42", SSE42_FLAGS) } else { ("", "") };
        Self { directory: cache.join(format!("rocksdb-{ROCKSDB}-lz4{suffix}")), cxx_flags }
    }

    fn library(&self) -> PathBuf {
        self.directory.join("lib").join(LIBRARY)
    }

    /// Whether somebody has made it.
    pub(super) fn is_there(&self) -> bool {
        self.library().is_file()
    }

    fn build_directory(&self) -> PathBuf {
        self.directory.join("build")
    }

    /// Makes sure that the archive is there; `compile` answers with the file that it made.
    ///
    /// Any number of processes may call this side by side: one compiles, the others wait for it.
    pub(super) fn ensure(&self, compile: impl FnOnce(&Self) -> Result<PathBuf>) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot create {}", self.directory.display()))?;
        let lock_path = self.directory.join("setup.lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("cannot create {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            progress("another setup is compiling RocksDB; waiting for it");
            lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        }
        if self.is_there() {
            return Ok(());
        }
        progress(&format!("compiling RocksDB {ROCKSDB} once for this machine: about 20 minutes"));
        self.write_build_crate()?;
        let made = compile(self)?;
        self.install(&made)?;
        progress(&format!("RocksDB is ready in {}", self.directory.display()));
        Ok(())
    }

    /// Writes the crate that is built, leaving files that are already right as old as they are.
    fn write_build_crate(&self) -> Result<()> {
        let build = self.build_directory();
        fs::create_dir_all(build.join("src"))
            .with_context(|| format!("cannot create {}", build.display()))?;
        for (path, text) in [("Cargo.toml", manifest()), ("src/lib.rs", String::new())] {
            let path = build.join(path);
            if fs::read_to_string(&path).is_ok_and(|found| found == text) {
                continue;
            }
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Copies the archive beside its final place, then renames it: half a copy is never linked.
    fn install(&self, made: &Path) -> Result<()> {
        let library = self.library();
        let lib = self.directory.join("lib");
        fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
        let half = lib.join(format!("{LIBRARY}.{}", std::process::id()));
        fs::copy(made, &half)
            .with_context(|| format!("cannot copy {} to {}", made.display(), half.display()))?;
        fs::rename(&half, &library)
            .with_context(|| format!("cannot rename {} to {LIBRARY}", half.display()))
    }

    /// Points a symbolic link at this archive, replacing an older link in one step.
    pub(super) fn link_from(&self, link: &Path) -> Result<()> {
        if fs::read_link(link).is_ok_and(|old| old == self.directory) {
            return Ok(());
        }
        if link.is_dir() && !link.is_symlink() {
            bail!("{} is a directory; remove it, a link belongs there", link.display());
        }
        let parent = link.parent().context("a link stands in a directory")?;
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        let fresh = link.with_extension(format!("{}", std::process::id()));
        symlink(&self.directory, &fresh)
            .with_context(|| format!("cannot create the link {}", fresh.display()))?;
        fs::rename(&fresh, link)
            .with_context(|| format!("cannot rename {} to {}", fresh.display(), link.display()))
    }
}

fn manifest() -> String {
    format!(
        r#"# Written by `cargo xtask setup`: compiles librocksdb once for every clone on this machine.
[package]
name = "rocksdb-archive"
version = "0.0.0"
edition = "2024"
publish = false

[dependencies]
librocksdb-sys = {{ version = "={LIBROCKSDB_SYS}", default-features = false, features = ["bindgen-runtime", "lz4", "static"] }}

[workspace]
"#
    )
}

/// Runs Cargo on the build crate and answers with the archive that its build script made.
pub(super) fn compile(archive: &Archive) -> Result<PathBuf> {
    let build = archive.build_directory();
    let mut cargo = Command::new(cargo_program());
    cargo.args(["build", "--release", "--message-format=json-render-diagnostics"]);
    cargo.current_dir(&build).stdin(Stdio::null()).stdout(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_about_this_package) {
            cargo.env_remove(&name);
        }
    }
    for name in MISLEADING {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_TARGET_DIR", build.join("target"));
    if !archive.cxx_flags.is_empty() {
        cargo.env("CXXFLAGS", archive.cxx_flags);
    }
    let line = written(&cargo);
    let mut child = cargo.spawn().with_context(|| format!("cannot start {line}"))?;
    let stdout = child.stdout.take().context("the output of Cargo is piped")?;
    let mut made = None;
    for message in BufReader::new(stdout).lines() {
        let message = message.with_context(|| format!("cannot read from {line}"))?;
        made = made.or_else(|| out_directory(&message));
    }
    let status = child.wait().with_context(|| format!("cannot wait for {line}"))?;
    if !status.success() {
        bail!("{line} in {} failed with {status}", build.display());
    }
    let made = made.context("Cargo did not say where librocksdb-sys was built")?.join(LIBRARY);
    if !made.is_file() {
        bail!("librocksdb-sys built no {}", made.display());
    }
    Ok(made)
}

/// Where the binding's build script wrote, if this message of Cargo says so.
fn out_directory(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_build_script = message.get("reason")? == "build-script-executed";
    let package = message.get("package_id")?.as_str()?;
    if !(is_build_script && package.contains("librocksdb-sys")) {
        return None;
    }
    Some(PathBuf::from(message.get("out_dir")?.as_str()?))
}

#[cfg(test)]
mod tests;
