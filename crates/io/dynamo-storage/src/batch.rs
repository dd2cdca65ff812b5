//! What is written: columns, single writes, and the batches that are applied whole or not at all.

use bytes::Bytes;

/// What a column is for; the engine lays it out accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Values of any size, read one at a time. Large ones live apart from the keys, so that
    /// merging keys does not copy them over and over.
    Objects,
    /// Many small rows, read in ranges or by key.
    Rows,
}

/// A column that an engine is opened with. The name is part of the data on disk and of every row's
/// checksum, so it is chosen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSpec {
    /// The name on disk, different from all others.
    pub name: &'static str,
    /// How it will be used.
    pub purpose: Purpose,
}

/// A column, by its place in the list that the engine was opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(pub usize);

/// How far a write must have come when it is reported as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In the operating system's memory: it survives the end of the process, not of the machine.
    Buffered,
    /// On the disk, along with everything that was written before it.
    Synced,
}

/// One change of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a row, whether or not it was there.
    Put {
        /// Where.
        column: Column,
        /// The row's name.
        key: Bytes,
        /// The row's content, possibly empty.
        value: Bytes,
    },
    /// Removes a row, whether or not it was there.
    Delete {
        /// Where.
        column: Column,
        /// The row's name.
        key: Bytes,
    },
    /// Removes all rows of a range; nothing if the range is empty or upside down.
    DeleteRange {
        /// Where.
        column: Column,
        /// The first row to go.
        from: Bytes,
        /// The first row to stay.
        to: Bytes,
    },
}

impl Write {
    /// About how many bytes it occupies in a log: the content and a few bytes of framing.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        const FRAMING_BYTES: usize = 16;
        FRAMING_BYTES
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Delete { key, .. } => key.len(),
                Self::DeleteRange { from, to, .. } => from.len() + to.len(),
            }
    }
}

/// Writes that take effect together, in order: later ones see and override earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch(pub Vec<Write>);

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a put.
    pub fn put(&mut self, column: Column, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push(Write::Put { column, key: key.into(), value: value.into() });
    }

    /// Appends a removal.
    pub fn delete(&mut self, column: Column, key: impl Into<Bytes>) {
        self.0.push(Write::Delete { column, key: key.into() });
    }

    /// Appends the removal of `from..to`, `to` excluded.
    pub fn delete_range(&mut self, column: Column, from: impl Into<Bytes>, to: impl Into<Bytes>) {
        self.0.push(Write::DeleteRange { column, from: from.into(), to: to.into() });
    }

    /// Whether it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how many bytes it occupies in a log.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.0.iter().map(Write::encoded_bytes).sum()
    }
}

/// Whether any of the batches adds bytes. One that only removes may use the last of the space,
/// because it is how space comes back.
pub(crate) fn adds_rows(batches: &[Batch]) -> bool {
    batches.iter().flat_map(|batch| &batch.0).any(|write| matches!(write, Write::Put { .. }))
}
