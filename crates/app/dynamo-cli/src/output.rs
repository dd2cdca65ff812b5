//! All printing: results to stdout, everything else to stderr.

#![expect(clippy::print_stderr, reason = "a command line program talks to people here")]

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Something went wrong.
pub const FAILED: u8 = 1;
/// An object has several versions side by side.
pub const SIBLINGS: u8 = 3;
/// There is no such object.
pub const ABSENT: u8 = 4;

/// Prints an error with its causes; the process ends with [`FAILED`].
#[must_use]
pub fn failure(error: &anyhow::Error) -> ExitCode {
    // Whoever reads our output has gone, which is theirs to know.
    let pipe_closed = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    };
    if !error.chain().any(pipe_closed) {
        eprintln!("error: {error:#}");
    }
    ExitCode::from(FAILED)
}

/// Prints a line for people.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints a line of a result.
///
/// # Errors
/// stdout cannot be written to.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
}

/// Prints bytes as they are; on a terminal with a line end behind them, if `line_end` allows it.
///
/// # Errors
/// stdout cannot be written to.
pub fn bytes(bytes: &[u8], line_end: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    if line_end && out.is_terminal() && !bytes.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Prints rows in columns under a head; numbers line up on the right.
///
/// # Errors
/// stdout cannot be written to.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lay_out(head, rows).as_bytes())
}

fn lay_out(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let columns: Vec<(usize, bool)> = (head.iter().enumerate())
        .map(|(column, title)| {
            let widest = cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0);
            let numbers = cells(column).all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()))
                && cells(column).any(|_| true);
            (widest.max(title.chars().count()), numbers)
        })
        .collect();
    let mut text = String::new();
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for ((width, right), cell) in columns.iter().zip(row) {
            let cell = if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&cell);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["a".to_owned(), "7".to_owned()], vec!["bcd".to_owned(), "1024".to_owned()]];
        assert_eq!(lay_out(&["name", "n"], &rows), "name     n\na        7\nbcd   1024\n");
    }
}
