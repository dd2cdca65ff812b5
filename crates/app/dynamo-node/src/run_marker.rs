//! A file in the identity directory that says that this node has run.
//!
//! A database that is not there means one of two things: the node begins, or its disk was lost. Only the
//! first may say of a key that it has no value; the second may have acknowledged one (protocol rule 4).
//! The identity directory is kept apart from the data and survives it, so it is where the node leaves
//! word of its first start.
//!
//! Beside it lies a lock: while a process runs, no other one starts with the same identity, whatever copy
//! of the data it was given. What two of one id store, the others would count as one copy that is in two
//! places, and miss half of it when either goes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dynamo_types::{ClusterId, NodeId};
use thiserror::Error;

/// Its name.
pub const FILE: &str = "has-run";
const FILE_NEW: &str = "has-run.new";
const LOCK: &str = "has-run.lock";
const FIRST_LINE: &str = "dynamo node has run 1";

/// Why the marker cannot be used.
#[derive(Debug, Error)]
pub enum RunMarkerError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be written, and a node that leaves no word would not notice the loss of its disk.
    #[error("cannot write {}: a node leaves word there that it has run", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process runs with this directory.
    #[error(
        "{} is locked: another process runs with this identity. A node runs once; a copy of its data \
         does not make a second one",
        path.display()
    )]
    InUse {
        /// The lock.
        path: PathBuf,
    },
    /// The lock cannot be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no marker that this program writes.
    #[error(
        "{} is damaged or of an unknown format: remove it only if this node has never run before",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// Another node has run with this directory.
    #[error(
        "{} says that node {found_node} of cluster {found_cluster} ran with this identity directory, \
         not node {expected_node} of cluster {expected_cluster}: give each node a directory of its own",
        path.display()
    )]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found_node: String,
        /// Of which cluster.
        found_cluster: String,
        /// Who this is.
        expected_node: NodeId,
        /// Of which cluster.
        expected_cluster: ClusterId,
    },
}

/// Keeps other processes from running with an identity. The system releases it when this is dropped or
/// the process ends, however it ends.
#[derive(Debug)]
pub struct IdentityLock {
    // Held for its lock alone.
    _file: File,
}

/// The marker of one node.
#[derive(Debug)]
pub struct RunMarker {
    path: PathBuf,
    cluster: ClusterId,
    node: NodeId,
}

impl RunMarker {
    /// That of a node, in its identity directory.
    #[must_use]
    pub fn new(identity: &Path, cluster: ClusterId, node: NodeId) -> Self {
        Self { path: identity.join(FILE), cluster, node }
    }

    /// Whether this node has run before.
    ///
    /// # Errors
    /// The file cannot be read, is no marker, or is another node's.
    pub fn is_there(&self) -> Result<bool, RunMarkerError> {
        let path = || self.path.clone();
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(RunMarkerError::Read { path: path(), source }),
        };
        if text == self.text().as_bytes() {
            return Ok(true);
        }
        match parse(&text) {
            None => Err(RunMarkerError::Damaged { path: path() }),
            Some((cluster, node)) => Err(RunMarkerError::Foreign {
                path: path(),
                found_node: node.to_owned(),
                found_cluster: cluster.to_owned(),
                expected_node: self.node,
                expected_cluster: self.cluster,
            }),
        }
    }

    /// Takes the identity for this process.
    ///
    /// # Errors
    /// Another process has it, or the file system refuses.
    pub fn lock(&self) -> Result<IdentityLock, RunMarkerError> {
        let path = self.path.with_file_name(LOCK);
        let failed = |source| RunMarkerError::Lock { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(IdentityLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RunMarkerError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Leaves it, so that after a crash there is either none or a whole one. Call it once the database
    /// is there for good: a marker without a database says that the database was lost.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn leave(&self) -> Result<(), RunMarkerError> {
        self.write().map_err(|source| RunMarkerError::Write { path: self.path.clone(), source })
    }

    fn write(&self) -> io::Result<()> {
        let new = self.path.with_file_name(FILE_NEW);
        let mut file = File::create(&new)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn text(&self) -> String {
        format!("{FIRST_LINE}\ncluster {}\nnode {}\n", self.cluster, self.node)
    }
}

/// The cluster and the node that a marker names.
fn parse(text: &[u8]) -> Option<(&str, &str)> {
    let mut lines = str::from_utf8(text).ok()?.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let cluster = lines.next()?.strip_prefix("cluster ")?;
    let node = lines.next()?.strip_prefix("node ")?;
    lines.next().is_none().then_some((cluster, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(directory: &Path, node: u64) -> RunMarker {
        RunMarker::new(directory, ClusterId(7), NodeId(node))
    }

    #[test]
    fn it_is_there_once_it_was_left_and_whoever_cut_that_short_left_nothing() {
        let identity = tempfile::tempdir().unwrap();
        assert!(!marker(identity.path(), 1).is_there().unwrap());
        fs::write(identity.path().join(FILE_NEW), "dynamo no").unwrap();
        assert!(!marker(identity.path(), 1).is_there().unwrap());
        marker(identity.path(), 1).leave().unwrap();
        assert!(marker(identity.path(), 1).is_there().unwrap());
        assert_eq!(fs::read_dir(identity.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_process_at_a_time_runs_with_an_identity() {
        let identity = tempfile::tempdir().unwrap();
        let held = marker(identity.path(), 1).lock().unwrap();
        let refused = marker(identity.path(), 1).lock().unwrap_err();
        assert!(matches!(refused, RunMarkerError::InUse { .. }), "{refused}");
        drop(held);
        marker(identity.path(), 1).lock().unwrap();
    }

    #[test]
    fn that_of_another_node_or_cluster_is_refused_by_name() {
        let identity = tempfile::tempdir().unwrap();
        marker(identity.path(), 1).leave().unwrap();
        let refused = marker(identity.path(), 2).is_there().unwrap_err().to_string();
        assert!(refused.contains("node 0000000000000001 of cluster"), "{refused}");
        let other = RunMarker::new(identity.path(), ClusterId(8), NodeId(1));
        assert!(matches!(other.is_there(), Err(RunMarkerError::Foreign { .. })));
    }

    #[test]
    fn what_is_no_marker_is_not_taken_for_one_nor_for_none() {
        let identity = tempfile::tempdir().unwrap();
        let whole = marker(identity.path(), 1).text();
        for text in ["", "dynamo node has run 2\n", &whole[..40], &format!("{whole}more\n")] {
            fs::write(identity.path().join(FILE), text).unwrap();
            let refused = marker(identity.path(), 1).is_there();
            assert!(
                matches!(refused, Err(RunMarkerError::Damaged { .. })),
                "{text:?}: {refused:?}"
            );
        }
    }
}
