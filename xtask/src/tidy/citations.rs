//! `Paper §4.6` names a section that the Dynamo paper has.

use super::Finding;
use super::packages::Package;
use super::source::line_of;
use super::tree::Tree;

/// The sections of "Dynamo: Amazon's Highly Available Key-value Store" (SOSP 2007).
const SECTIONS: [&str; 31] = [
    "1", "2", "2.1", "2.2", "2.3", "3", "3.1", "3.2", "3.3", "4", "4.1", "4.2", "4.3", "4.4",
    "4.5", "4.6", "4.7", "4.8", "4.8.1", "4.8.2", "4.8.3", "4.9", "5", "6", "6.1", "6.2", "6.3",
    "6.4", "6.5", "6.6", "7",
];

/// In two pieces, so that this line is no citation itself.
const TAG: &str = concat!("Paper ", "§");

pub(super) fn check(tree: &Tree, _: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (at, _) in text.match_indices(TAG) {
            let sections = cited(&text[at + TAG.len()..]);
            let place = || format!("{path}:{}", line_of(text, at));
            // A page that explains the form quotes it bare.
            let is_quoted = text[at + TAG.len()..].starts_with(['`', '"']);
            if sections.is_empty() && !is_quoted {
                let message = "a citation needs its section: write `Paper §4.6`";
                findings.push(Finding::new(place(), message));
            }
            for section in sections.iter().filter(|section| !SECTIONS.contains(section)) {
                let message =
                    format!("the paper has no section {section}: cite the one that says this");
                findings.push(Finding::new(place(), message));
            }
        }
    }
    findings
}

/// The sections after a tag: `4.5`, or `4.5, §4.6` and `4.5-§4.6` for several.
fn cited(mut rest: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    loop {
        let length = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let section = rest[..length].trim_end_matches('.');
        if section.is_empty() {
            return sections;
        }
        sections.push(section);
        let after = rest[section.len()..].trim_start_matches([',', ' ', '-', '/']);
        match after.strip_prefix("and ").unwrap_or(after).strip_prefix('§') {
            Some(next) => rest = next,
            None => return sections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TAG, check};
    use crate::tidy::tree::Tree;

    fn messages(cited: &str) -> Vec<String> {
        let text = format!("//! Text.\n// {TAG}{cited}");
        let tree = Tree::of([("a.rs", text.as_str())]);
        let findings = check(&tree, &[]);
        assert!(findings.iter().all(|finding| finding.place == "a.rs:2"));
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn sections_that_exist_may_be_cited_alone_and_in_lists() {
        for cited in
            ["` tags", "4.6: first N", "6.2, strategy 3.", "4.8.1.", "4.5, §5 and §6.4", "2.1-§2.3"]
        {
            assert_eq!(messages(cited), [""; 0], "{cited}");
        }
    }

    #[test]
    fn a_section_that_does_not_exist_is_found() {
        let expected = "the paper has no section 4.10: cite the one that says this";
        assert_eq!(messages("4.10"), [expected]);
        assert_eq!(messages("4.5, §4.10"), [expected]);
        assert_eq!(messages("?"), ["a citation needs its section: write `Paper §4.6`"]);
    }
}
