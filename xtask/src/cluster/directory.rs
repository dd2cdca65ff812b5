//! A cluster's directory: who may change it, and where things are in it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Description;
use super::process::Process;
use crate::console::progress;
use crate::workspace::Workspace;

const DESCRIPTION: &str = "cluster.json";

/// Where a cluster is, or could be.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    chosen: bool,
}

impl Directory {
    /// The chosen directory, or the usual one.
    pub(super) fn new(workspace: &Workspace, chosen: Option<PathBuf>) -> Result<Self> {
        let is_chosen = chosen.is_some();
        let path = match chosen {
            Some(path) => std::path::absolute(path).context("--dir names no path")?,
            None => workspace.own_target().join("cluster"),
        };
        Ok(Self { path, chosen: is_chosen })
    }

    /// The path, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What a person adds to `cargo xtask cluster …` to mean this cluster.
    pub(super) fn option(&self) -> String {
        if self.chosen { format!(" --dir {}", self.path.display()) } else { String::new() }
    }

    /// The cluster that is there, without the right to change it.
    pub(super) fn read(&self) -> Result<Option<Description>> {
        let path = self.path.join(DESCRIPTION);
        if !path.exists() {
            return Ok(None);
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let description = Description::from_json(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Some(description))
    }

    /// The cluster that must be there, and the right to change it.
    pub(super) fn lock(&self) -> Result<Locked> {
        self.lock_if_there()?.with_context(|| self.absence())
    }

    /// What to say when no cluster is there.
    pub(super) fn absence(&self) -> String {
        format!(
            "no cluster in {}; make one with `cargo xtask cluster up{}`",
            self.path.display(),
            self.option()
        )
    }

    /// The cluster, if there is one, and the right to change it.
    pub(super) fn lock_if_there(&self) -> Result<Option<Locked>> {
        if self.read()?.is_none() {
            return Ok(None);
        }
        let lock = self.acquire()?;
        // It may have been wiped while we waited.
        let description = self.read()?;
        Ok(description.map(|description| self.locked(description, lock)))
    }

    /// The cluster that is there, or an empty place with this description to make it in.
    ///
    /// What an interrupted `up` left is removed first: its description says that it is no whole
    /// cluster. A directory with anything else in it is refused.
    pub(super) fn lock_or_begin(
        &self,
        begin: impl FnOnce() -> Result<Description>,
    ) -> Result<Locked> {
        if let Some(cluster) = self.lock_if_there()? {
            if cluster.description.complete {
                return Ok(cluster);
            }
            progress("removing half a cluster that an interrupted `up` left");
            cluster.remove()?;
        }
        let description = begin()?;
        fs::create_dir_all(&self.path)
            .with_context(|| format!("cannot create {}", self.path.display()))?;
        let lock = self.acquire()?;
        if let Some(found) = self.read()? {
            return Ok(self.locked(found, lock));
        }
        let unreadable = || format!("cannot read {}", self.path.display());
        if self.path.read_dir().with_context(unreadable)?.next().is_some() {
            bail!(
                "{} holds something that is no cluster of ours; choose another --dir",
                self.path.display()
            );
        }
        let cluster = self.locked(description, lock);
        cluster.save()?;
        Ok(cluster)
    }

    fn locked(&self, description: Description, lock: File) -> Locked {
        Locked { path: self.path.clone(), description, _lock: lock }
    }

    /// Locks the directory itself: no file is left behind, and it works beside a wipe.
    fn acquire(&self) -> Result<File> {
        let cannot = || format!("cannot lock {}", self.path.display());
        loop {
            let lock = File::open(&self.path).with_context(cannot)?;
            if lock.try_lock().is_err() {
                progress("waiting for another `cargo xtask cluster` to end");
                lock.lock().with_context(cannot)?;
            }
            let held = lock.metadata().with_context(cannot)?.ino();
            match fs::metadata(&self.path) {
                Ok(there) if there.ino() == held => return Ok(lock),
                // Removed and made again meanwhile: the lock is on the one that is gone.
                Ok(_) => {}
                Err(error) => return Err(error).with_context(cannot),
            }
        }
    }
}

/// A cluster that no other `cargo xtask cluster` changes while this value lives.
#[derive(Debug)]
pub(super) struct Locked {
    path: PathBuf,
    /// What it was asked to be.
    pub(super) description: Description,
    _lock: File,
}

impl Locked {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of one node.
    pub(super) fn node(&self, node: u32) -> PathBuf {
        node_directory(&self.path, node)
    }

    /// The number itself, if the cluster has such a node.
    pub(super) fn check_node(&self, node: u32) -> Result<u32> {
        check_node(&self.description, node)
    }

    /// What was last started as this node, alive or not.
    pub(super) fn process(&self, node: u32) -> Result<Option<Process>> {
        Process::read(&self.node(node).join("pid"))
    }

    /// Writes the description, whole or not at all.
    pub(super) fn save(&self) -> Result<()> {
        let path = self.path.join(DESCRIPTION);
        let half = self.path.join(format!("{DESCRIPTION}.half"));
        fs::write(&half, self.description.to_json())
            .and_then(|()| fs::rename(&half, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes everything; the description goes last, so that half a removal can be repeated.
    pub(super) fn remove(self) -> Result<()> {
        let cannot = |path: &Path| format!("cannot remove {}", path.display());
        for entry in self.path.read_dir().with_context(|| cannot(&self.path))? {
            let path = entry.with_context(|| cannot(&self.path))?.path();
            if path.ends_with(DESCRIPTION) {
                continue;
            }
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| cannot(&path))?;
        }
        fs::remove_dir_all(&self.path).with_context(|| cannot(&self.path))
    }
}

/// The directory of one node.
pub(super) fn node_directory(cluster: &Path, node: u32) -> PathBuf {
    cluster.join(format!("node-{node}"))
}

/// The number itself, if the cluster has such a node.
pub(super) fn check_node(description: &Description, node: u32) -> Result<u32> {
    let last = description.total();
    if (1..=last).contains(&node) {
        return Ok(node);
    }
    bail!("there is no node {node}: this cluster has 1 to {last}")
}
