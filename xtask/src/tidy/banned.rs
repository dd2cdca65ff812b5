//! What must not land: notes of unfinished work, tests that do not run, unchecked decoding.

use super::Finding;
use super::packages::Package;
use super::source::{code, is_word, line_of};
use super::tree::Tree;

/// Notes to oneself, in pieces so that this file does not hold them.
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Code, and what to do instead.
const CODE: [(&str, &str); 6] = [
    ("#[ignore", "a test that does not run proves nothing: make it pass or remove it"),
    ("#[should_panic", "it passes on any panic: call the code and compare the error"),
    ("access_unchecked", UNCHECKED),
    ("access_pos_unchecked", UNCHECKED),
    ("from_bytes_unchecked", UNCHECKED),
    ("archived_root", UNCHECKED),
];
const UNCHECKED: &str = "bytes from a peer are validated: call rkyv's `access`";

pub(super) fn check(tree: &Tree, _: &[Package]) -> Vec<Finding> {
    let notes = tree.files().flat_map(|(path, text)| check_notes(path, text));
    let code = tree.rust_files().flat_map(|(path, text)| check_code(path, text));
    notes.chain(code).collect()
}

fn check_notes(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for note in NOTES {
        for (at, _) in text.match_indices(note) {
            let before = at > 0 && is_word(text.as_bytes()[at - 1]);
            let after = text.as_bytes().get(at + note.len()).is_some_and(|byte| is_word(*byte));
            if !before && !after {
                let place = format!("{path}:{}", line_of(text, at));
                let message = format!("{note}: do it now, or describe it in an issue");
                findings.push(Finding::new(place, message));
            }
        }
    }
    findings
}

fn check_code(path: &str, text: &str) -> Vec<Finding> {
    let code = code(text);
    let mut findings = Vec::new();
    for (banned, remedy) in CODE {
        for (at, _) in code.match_indices(banned) {
            let place = format!("{path}:{}", line_of(text, at));
            findings.push(Finding::new(place, format!("`{banned}` is banned: {remedy}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{NOTES, check};
    use crate::tidy::tree::Tree;

    fn messages(text: &str) -> Vec<String> {
        let findings = check(&Tree::of([("a.rs", text)]), &[]);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_note_of_unfinished_work_is_found_as_a_whole_word() {
        let found = messages(&format!("// {}: later", NOTES[0]));
        assert_eq!(found, [format!("{}: do it now, or describe it in an issue", NOTES[0])]);
        assert_eq!(messages(&format!("const {}_LIST: u8 = 1;", NOTES[0])), [""; 0]);
    }

    #[test]
    fn tests_that_do_not_run_are_found_in_code_only() {
        let found = messages("#[ignore = \"slow\"]\nfn f() {}\n// #[ignore]\n\"#[ignore]\"");
        assert_eq!(
            found,
            ["`#[ignore` is banned: a test that does not run proves nothing: make it pass or \
              remove it"]
        );
        assert!(messages("#[should_panic]")[0].contains("compare the error"));
    }

    #[test]
    fn unchecked_decoding_is_found() {
        let found = messages("let x = rkyv::access_unchecked::<A>(bytes);");
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("call rkyv's `access`"), "{found:?}");
    }
}
