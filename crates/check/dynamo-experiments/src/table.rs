//! Results as CSV: numbers and plain words only, so that nothing needs quoting.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Rows under a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    text: String,
    columns: usize,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { text: format!("{}\n", columns.join(",")), columns: columns.len() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has other than one cell for each column, or one that would need quoting.
    pub fn push(&mut self, cells: &[String]) {
        assert_eq!(cells.len(), self.columns, "a cell for each column");
        assert!(
            cells.iter().all(|cell| !cell.contains([',', '"', '\n'])),
            "{cells:?} needs quotes"
        );
        self.text.push_str(&cells.join(","));
        self.text.push('\n');
    }

    /// The whole table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When that fails; the path is in the message.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.text).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_row_is_a_line() {
        let mut table = Table::new(&["nodes", "balance"]);
        table.push(&["3".to_owned(), "1.000".to_owned()]);
        assert_eq!(table.as_str(), "nodes,balance\n3,1.000\n");
    }
}
