//! Whose directory this is: a stamp that names the owner and a lock that keeps others out.
//!
//! A disk that was swapped, restored to the wrong machine or mounted twice would otherwise be
//! served as if it were this node's own, and be counted in quorums.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

const STAMP: &str = "STAMP";
const STAMP_NEW: &str = "STAMP.new";
const LOCK: &str = "STAMP.lock";
const FIRST_LINE: &str = "storage stamp 1";

/// Who a directory belongs to. Neither name may contain a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryStamp {
    /// The cluster that the data is part of.
    pub cluster: String,
    /// The node that wrote it.
    pub node: String,
}

/// A directory that is ours. It stays locked for as long as the lock within lives.
#[derive(Debug)]
pub enum Claimed {
    /// It was empty and has just been stamped.
    Fresh(DirectoryLock),
    /// It carries our stamp from before.
    Known(DirectoryLock),
}

impl Claimed {
    /// The lock, in either case.
    #[must_use]
    pub fn into_lock(self) -> DirectoryLock {
        match self {
            Self::Fresh(lock) | Self::Known(lock) => lock,
        }
    }
}

/// Keeps other processes from claiming a directory. The system releases it when this is dropped or
/// the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    // Held for its lock alone.
    _file: File,
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum StampError {
    /// The directory belongs to somebody else.
    #[error(
        "{path} belongs to node {found_node} of cluster {found_cluster}, \
         not to node {expected_node} of cluster {expected_cluster}",
        path = path.display(),
        found_node = found.node, found_cluster = found.cluster,
        expected_node = expected.node, expected_cluster = expected.cluster,
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Who it belongs to.
        found: Box<DirectoryStamp>,
        /// Who asked for it.
        expected: Box<DirectoryStamp>,
    },
    /// The directory holds files but no stamp, so whose they are is not known.
    #[error("{} is not empty and has no stamp, so it is not known whose it is", path.display())]
    Unstamped {
        /// The directory.
        path: PathBuf,
    },
    /// The stamp cannot be read as one.
    #[error("the stamp of {} is damaged or of an unknown format", path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
    },
    /// Another process holds the directory.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A name of the stamp contains a line break.
    #[error("a stamp's names must not contain line breaks")]
    InvalidName,
    /// A step on the file system failed.
    #[error("cannot {step} in {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl DirectoryStamp {
    /// Takes the directory: creates it if it is missing, stamps it if it is empty, checks the stamp
    /// otherwise, and locks it. Nothing is changed in a directory that is refused.
    ///
    /// # Errors
    /// The directory is another's, of unknown origin, in use, or not accessible.
    pub fn claim(&self, directory: &Path) -> Result<Claimed, StampError> {
        let failed =
            |step| move |source| StampError::Io { path: directory.to_path_buf(), step, source };
        if [&self.cluster, &self.node].iter().any(|name| name.contains(['\n', '\r'])) {
            return Err(StampError::InvalidName);
        }
        fs::create_dir_all(directory).map_err(failed("create the directory"))?;
        // Looked at before the lock, so that not even a lock file is left in a foreign directory;
        // and again under it, because only then does the answer stay true.
        self.check(directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(LOCK))
            .map_err(failed("create the lock file"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StampError::InUse { path: directory.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock the lock file")(source)),
        }
        let lock = DirectoryLock { _file: lock };
        if self.check(directory)? {
            return Ok(Claimed::Known(lock));
        }
        self.write(directory).map_err(failed("write the stamp"))?;
        Ok(Claimed::Fresh(lock))
    }

    /// Whether the directory has our stamp; `false` if it is empty.
    fn check(&self, directory: &Path) -> Result<bool, StampError> {
        let path = || directory.to_path_buf();
        match fs::read(directory.join(STAMP)) {
            Ok(bytes) => {
                let found =
                    Self::decode(&bytes).ok_or_else(|| StampError::Damaged { path: path() })?;
                if found != *self {
                    let expected = Box::new(self.clone());
                    return Err(StampError::Foreign {
                        path: path(),
                        found: found.into(),
                        expected,
                    });
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let io = |source| StampError::Io { path: path(), step: "list the files", source };
                for entry in fs::read_dir(directory).map_err(io)? {
                    let name = entry.map_err(io)?.file_name();
                    // What a claim that was cut short may have left.
                    if name != STAMP_NEW && name != LOCK {
                        return Err(StampError::Unstamped { path: path() });
                    }
                }
                Ok(false)
            }
            Err(source) => Err(StampError::Io { path: path(), step: "read the stamp", source }),
        }
    }

    /// Writes the stamp so that after a crash there is either none or a whole one.
    fn write(&self, directory: &Path) -> io::Result<()> {
        let new = directory.join(STAMP_NEW);
        let mut file = File::create(&new)?;
        file.write_all(&self.encode())?;
        file.sync_all()?;
        fs::rename(&new, directory.join(STAMP))?;
        File::open(directory)?.sync_all()?;
        // The directory itself may be new to its parent.
        let absolute = fs::canonicalize(directory)?;
        match absolute.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let body = format!("{FIRST_LINE}\ncluster {}\nnode {}\n", self.cluster, self.node);
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}checksum {checksum:08x}\n").into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let stamp = Self {
            cluster: lines.next()?.strip_prefix("cluster ")?.into(),
            node: lines.next()?.strip_prefix("node ")?.into(),
        };
        // Equal bytes, not just a checksum that fits: there is one way to write a stamp.
        (stamp.encode() == bytes).then_some(stamp)
    }
}
