//! Writes the Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write as _};

const WRITTEN: &str = "writing to a string does not fail";

/// A page under construction.
#[derive(Debug, Default)]
pub(super) struct TextFormat {
    text: String,
}

impl TextFormat {
    /// The lines before the samples of a metric.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(WRITTEN);
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            write!(self.text, "{open}{label}=\"").expect(WRITTEN);
            self.label_value(text);
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(self.text, "{close} {value}").expect(WRITTEN);
    }

    /// Names of members are their operator's: any printable text.
    fn label_value(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\\' | '"' => self.text.extend(['\\', character]),
                '\n' => self.text.push_str("\\n"),
                _ => self.text.push(character),
            }
        }
    }

    /// A counter without labels; its name gets the suffix that counters have.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        let name = format!("{name}_total");
        self.head(&name, "counter", help);
        self.sample(&name, &[], value);
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
