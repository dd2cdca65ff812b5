//! Progress of long commands on stderr: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{clock, output};

/// How often a line is printed where no bar can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Counts things that are done.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    done: u64,
    began: Instant,
    next_line: Instant,
}

impl Progress {
    /// Begins to count, with the total if it is known.
    #[must_use]
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = if total.is_some() {
                "{bar:40} {human_pos}/{human_len} {msg} {per_sec} {eta}"
            } else {
                "{spinner} {human_pos} {msg} {per_sec}"
            };
            let style = ProgressStyle::with_template(template).expect("a template of this file");
            bar.set_style(style);
            bar.with_message(what)
        });
        let began = clock::now();
        Self { bar, what, done: 0, began, next_line: began + LINE_INTERVAL }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if clock::now() >= self.next_line {
            output::note(&format!("{} {}, {:.0}/s", self.done, self.what, self.rate()));
            self.next_line = clock::now() + LINE_INTERVAL;
        }
    }

    /// So many are done: some may have been undone again.
    pub fn set(&mut self, done: u64) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if clock::now() >= self.next_line {
            output::note(&format!("{done} {}", self.what));
            self.next_line = clock::now() + LINE_INTERVAL;
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// How many are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// How many a second, so far.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rate(&self) -> f64 {
        let seconds = (clock::now() - self.began).as_secs_f64();
        if seconds > 0.0 { self.done as f64 / seconds } else { 0.0 }
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        clock::now() - self.began
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
