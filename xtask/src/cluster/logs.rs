//! `logs`: what a node printed, and goes on printing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::directory::{Directory, check_node, node_directory};
use crate::clock::pause;

/// Prints a node's log; with `follow` it never ends by itself.
pub(super) fn run(directory: &Directory, node: u32, follow: bool) -> Result<()> {
    let description = directory.read()?.with_context(|| directory.absence())?;
    let node = check_node(&description, node)?;
    let path = node_directory(directory.path(), node).join("log");
    let mut printed = print_from(&path, 0)?;
    while follow && printed.reader_is_there {
        pause();
        printed = print_from(&path, printed.end)?;
    }
    Ok(())
}

struct Printed {
    end: u64,
    reader_is_there: bool,
}

/// Prints from an offset to the end, from the start again if the file was cut short.
fn print_from(path: &Path, offset: u64) -> Result<Printed> {
    let cannot = || format!("cannot read {}", path.display());
    let mut log = File::open(path).with_context(cannot)?;
    let length = log.metadata().with_context(cannot)?.len();
    let start = if length < offset { 0 } else { offset };
    log.seek(SeekFrom::Start(start)).with_context(cannot)?;
    let mut piece = vec![0; 64 << 10];
    let mut end = start;
    let mut out = io::stdout().lock();
    loop {
        let read = log.read(&mut piece).with_context(cannot)?;
        if read == 0 {
            return Ok(Printed { end, reader_is_there: true });
        }
        end += u64::try_from(read).expect("a buffer's length fits");
        if out.write_all(&piece[..read]).and_then(|()| out.flush()).is_err() {
            return Ok(Printed { end, reader_is_there: false });
        }
    }
}

/// The last lines of a log, as text.
pub(super) fn last_lines(log: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_shown_even_of_a_short_log() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines(b"a", 2), "a");
        assert_eq!(last_lines(b"", 2), "");
    }
}
