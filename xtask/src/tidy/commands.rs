//! Every `cargo xtask …` that a page or a comment tells someone to type exists.

use clap::Command;

use super::Finding;
use super::packages::Package;
use super::source::line_of;
use super::tree::Tree;

const CALL: &str = "cargo xtask ";

pub(super) fn check(tree: &Tree, _: &[Package]) -> Vec<Finding> {
    let mut program = crate::command_line();
    // The subcommand `help` is there only once the rest is put together.
    program.build();
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (at, _) in text.match_indices(CALL) {
            if let Some(unknown) = unknown_word(&program, &text[at + CALL.len()..]) {
                let place = format!("{path}:{}", line_of(text, at));
                let message = format!(
                    "there is no `{CALL}{unknown}`: `cargo xtask help` lists what there is"
                );
                findings.push(Finding::new(place, message));
            }
        }
    }
    findings
}

/// The words up to the first that names no subcommand of the one before it.
fn unknown_word<'text>(program: &Command, call: &'text str) -> Option<&'text str> {
    let (mut command, mut at) = (program, 0);
    while command.has_subcommands() {
        let rest = &call[at..];
        let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with('-') {
            return None;
        }
        match command.find_subcommand(&rest[..length]) {
            Some(found) => command = found,
            None => return Some(&call[..at + length]),
        }
        at += length;
        if !call[at..].starts_with(' ') {
            return None;
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{CALL, check};
    use crate::tidy::tree::Tree;

    fn messages(call: &str) -> Vec<String> {
        let text = format!("Run\n`{CALL}{call}`.");
        let findings = check(&Tree::of([("docs/A.md", text.as_str())]), &[]);
        assert!(findings.iter().all(|finding| finding.place == "docs/A.md:2"));
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn calls_that_exist_may_be_written_in_part_or_with_their_arguments() {
        for call in [
            "setup",
            "simulate --seed 1",
            "cluster",
            "cluster kill 2",
            "help",
            "cluster …",
            "cluster --help",
            "paper ring-scale --seed 1",
        ] {
            assert_eq!(messages(call), [""; 0], "{call}");
        }
    }

    #[test]
    fn a_call_that_does_not_exist_is_found() {
        let unknown = |call: &str| {
            [format!("there is no `{CALL}{call}`: `cargo xtask help` lists what there is")]
        };
        assert_eq!(messages("deploy now"), unknown("deploy"));
        assert_eq!(messages("cluster explode 2"), unknown("cluster explode"));
        assert_eq!(messages("paper ring-size"), unknown("paper ring-size"));
    }
}
