//! What happened, step by step: always as a hash, and as text when somebody wants to read it.

use dynamo_checker::history::seconds;
use dynamo_types::Instant;

/// Bytes that are gathered before they are hashed: blocks of that size are hashed side by side, at a
/// tenth of what single steps cost.
const GATHERED_MAX: usize = 32 * 1024;

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hasher: blake3::Hasher,
    /// What happened and is not hashed yet.
    gathered: Vec<u8>,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; `readable` keeps text too.
    #[must_use]
    pub fn new(readable: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            gathered: Vec::with_capacity(GATHERED_MAX),
            events: 0,
            lines: readable.then(Vec::new),
        }
    }

    /// Notes a step.
    pub fn note(&mut self, now: Instant, kind: u8, words: [u64; 2]) {
        let mut bytes = [0; 25];
        bytes[..8].copy_from_slice(&now.0.to_le_bytes());
        bytes[8] = kind;
        bytes[9..17].copy_from_slice(&words[0].to_le_bytes());
        bytes[17..].copy_from_slice(&words[1].to_le_bytes());
        self.note_bytes(&bytes);
        self.events += 1;
    }

    /// Notes bytes that belong to the step before.
    pub fn note_bytes(&mut self, mut bytes: &[u8]) {
        // Whole blocks alone keep the hash's own chunks aligned, which it needs to be quick.
        while self.gathered.len() + bytes.len() >= GATHERED_MAX {
            let (fitting, rest) = bytes.split_at(GATHERED_MAX - self.gathered.len());
            self.gathered.extend_from_slice(fitting);
            self.hasher.update(&self.gathered);
            self.gathered.clear();
            bytes = rest;
        }
        self.gathered.extend_from_slice(bytes);
    }

    /// Keeps a line, if lines are kept.
    pub fn line(&mut self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {}", seconds(now), text()));
        }
    }

    /// Steps so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash of all steps in order.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.hasher.clone().update(&self.gathered).finalize().as_bytes()
    }

    /// The lines, if they were kept.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
