//! Objects of a file, read ahead on a thread of its own so that a slow file never holds up the
//! connections.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use dynamo_client::Key;
use tokio::sync::mpsc;

use crate::ndjson::{self, Line, LineError, Value};

/// Lines longer than this are no lines: the largest value in base64 and its key fit in it.
const LINE_BYTES_MAX: u64 = 32 << 20;
/// Objects that are read ahead: enough to keep all workers busy, few enough to fit in memory.
const READ_AHEAD: usize = 256;

/// An object as a file has it: one value, or several side by side.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Of its first line, from 1.
    pub(super) line: u64,
    pub(super) key: Key,
    pub(super) values: Vec<Value>,
}

/// What a file holds next.
#[derive(Debug)]
pub(super) enum Found {
    Job(Job),
    Bad {
        line: u64,
        error: LineError,
    },
    /// The file cannot be read on.
    Broken(io::Error),
}

/// Reads a file, or stdin for `-`.
pub(super) fn read(path: &Path) -> anyhow::Result<mpsc::Receiver<Found>> {
    let reader: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    let (found, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || read_all(BufReader::with_capacity(1 << 16, reader), &found));
    Ok(receiver)
}

/// The lines of a file, if that can be known.
pub(super) fn count_lines(path: &Path) -> Option<u64> {
    let mut file = File::open(path)
        .ok()
        .filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))?;
    let (mut count, mut buffer) = (0u64, vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer).ok()?;
        if read == 0 {
            return Some(count);
        }
        let ends = buffer[..read].iter().filter(|byte| **byte == b'\n').count();
        count += u64::try_from(ends).ok()?;
    }
}

fn read_all(mut reader: impl BufRead, found: &mpsc::Sender<Found>) {
    let mut number = 0;
    let mut job: Option<Job> = None;
    // Ends early when nobody takes any more, which is not our concern.
    let hand_over = |found_next: Found| found.blocking_send(found_next).is_ok();
    loop {
        let mut bytes = Vec::new();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) => break,
            Ok(_) => number += 1,
            Err(error) => {
                hand_over(Found::Broken(error));
                break;
            }
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = match ndjson::read_line(&bytes) {
            Ok(line) => line,
            Err(error) => {
                if !hand_over(Found::Bad { line: number, error }) {
                    return;
                }
                continue;
            }
        };
        let Line { key, value, sibling } = line;
        match &mut job {
            Some(job) if job.key == key && sibling.is_some_and(|i| i > 0) => job.values.push(value),
            _ => {
                let next = Job { line: number, key, values: vec![value] };
                if let Some(complete) = job.replace(next)
                    && !hand_over(Found::Job(complete))
                {
                    return;
                }
            }
        }
    }
    if let Some(last) = job {
        hand_over(Found::Job(last));
    }
}

/// Whether an object has exactly these values, in any order.
pub(super) fn same_values(expected: &[Value], found: &[dynamo_client::SiblingReply]) -> bool {
    let mut expected: Vec<(&[u8], &[u8])> =
        expected.iter().map(|value| (&value.bytes[..], &value.content_type[..])).collect();
    let mut found: Vec<(&[u8], &[u8])> =
        found.iter().map(|sibling| (&sibling.value[..], &sibling.content_type[..])).collect();
    expected.sort_unstable();
    found.sort_unstable();
    expected == found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_key_that_count_their_siblings_are_one_object() {
        let text = concat!(
            r#"{"key":"a","value":"1","sibling":0}"#,
            "\n",
            r#"{"key":"a","value":"2","sibling":1}"#,
            "\n\n",
            "nonsense\n",
            r#"{"key":"b","value":"3"}"#,
            "\n",
            r#"{"key":"b","value":"4"}"#,
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, text).unwrap();
        let mut receiver = read(&path).unwrap();
        let mut found = Vec::new();
        while let Some(next) = receiver.blocking_recv() {
            found.push(match next {
                Found::Job(job) => (job.line, job.values.len()),
                Found::Bad { line, .. } => (line, 0),
                Found::Broken(error) => panic!("{error}"),
            });
        }
        found.sort_unstable();
        assert_eq!(found, [(1, 2), (4, 0), (5, 1), (6, 1)]);
        assert_eq!(count_lines(&path), Some(5));
    }
}
