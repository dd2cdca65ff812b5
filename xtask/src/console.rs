//! What people and scripts see: results on standard output, progress on standard error.

use std::io::{self, Write};

/// Prints one result line to standard output.
///
/// Ends the program quietly when nobody reads any more (`… | head`): there is no one left to tell.
pub(crate) fn say(line: &str) {
    if writeln!(io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints one line of progress to standard error, marked so that it stands out among Cargo's.
pub(crate) fn progress(line: &str) {
    complain(&format!("xtask: {line}"));
}

/// Prints one line to standard error.
#[expect(clippy::print_stderr, reason = "a command-line program talks to people")]
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}

/// Prints rows in columns as wide as their widest cell; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) {
    for line in aligned(rows) {
        say(&line);
    }
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["node", "state"], vec!["1", "running"], vec!["12", ""]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(aligned(&rows), ["node  state", "1     running", "12"]);
    }
}
