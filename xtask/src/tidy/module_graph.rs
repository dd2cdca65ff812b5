//! Which files a package's roots reach through `mod` lines, and which of them only tests see.

use std::collections::BTreeMap;

use super::packages::{Package, RootKind};
use super::source::{code, code_outside_tests, is_word, word_offsets};
use super::tree::Tree;

/// The files of a package that something compiles, each with whether only tests do.
pub(super) fn reached(tree: &Tree, package: &Package) -> BTreeMap<String, bool> {
    let mut reached = BTreeMap::new();
    for root in &package.roots {
        let folder = parent(&root.path).to_owned();
        visit(tree, &root.path, &folder, root.kind == RootKind::Check, &mut reached);
    }
    reached
}

fn visit(
    tree: &Tree,
    path: &str,
    modules_folder: &str,
    only_for_tests: bool,
    reached: &mut BTreeMap<String, bool>,
) {
    let Some(text) = tree.text(path) else { return };
    match reached.get(path) {
        // Seen already, and nothing new is known about it.
        Some(before) if !*before || only_for_tests => return,
        _ => reached.insert(path.to_owned(), only_for_tests),
    };
    for module in declarations(text) {
        let only_for_tests = only_for_tests || module.only_for_tests;
        let beneath = module.inside.iter().fold(modules_folder.to_owned(), join);
        if let Some(chosen) = module.path {
            let file = join(parent(path).to_owned(), &chosen);
            let folder = parent(&file).to_owned();
            visit(tree, &file, &folder, only_for_tests, reached);
            continue;
        }
        let folder = join(beneath, &module.name);
        visit(tree, &format!("{folder}.rs"), &folder, only_for_tests, reached);
        visit(tree, &format!("{folder}/mod.rs"), &folder, only_for_tests, reached);
    }
}

/// One `mod name;`.
struct Declaration {
    name: String,
    /// The inline modules around it.
    inside: Vec<String>,
    /// What `#[path = "…"]` says.
    path: Option<String>,
    only_for_tests: bool,
}

fn declarations(text: &str) -> Vec<Declaration> {
    let code = code(text);
    let outside_tests = code_outside_tests(text, &code);
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize, usize)> = Vec::new();
    for at in word_offsets(&code, "mod") {
        let rest = code[at + 3..].trim_start();
        let length = rest.bytes().take_while(|b| is_word(*b)).count();
        let (name, after) = (&rest[..length], rest[length..].trim_start());
        if name.is_empty() {
            continue;
        }
        inline.retain(|(_, start, end)| (*start..*end).contains(&at));
        if after.starts_with('{') {
            let start = code.len() - after.len();
            inline.push((name.to_owned(), start, end_of_block(bytes, start)));
        } else if after.starts_with(';') {
            found.push(Declaration {
                name: name.to_owned(),
                inside: inline.iter().map(|(name, ..)| name.clone()).collect(),
                path: path_attribute(text, &code, at),
                only_for_tests: outside_tests.as_bytes()[at] == b' ',
            });
        }
    }
    found
}

fn end_of_block(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_u32;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    bytes.len()
}

/// The file that an attribute between the item before and this one names.
fn path_attribute(text: &str, code: &str, at: usize) -> Option<String> {
    let start = code[..at].rfind([';', '{', '}']).map_or(0, |before| before + 1);
    let attribute = code[start..at].find("#[path")?;
    text[start + attribute..at].split('"').nth(1).map(ToOwned::to_owned)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn join(folder: String, name: &String) -> String {
    if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::reached;
    use crate::tidy::packages::Package;
    use crate::tidy::tree::Tree;

    #[test]
    fn modules_are_followed_through_files_folders_and_blocks() {
        let tree = Tree::of([
            ("c/src/lib.rs", "mod a;\npub mod b { mod inner; }\n// mod not_this;\n"),
            ("c/src/a.rs", "#[cfg(test)]\nmod tests;\nmod deep;"),
            ("c/src/a/tests.rs", "mod helper;"),
            ("c/src/a/tests/helper.rs", ""),
            ("c/src/a/deep.rs", "#[path = \"odd.rs\"]\nmod even;"),
            ("c/src/a/odd.rs", ""),
            ("c/src/b/inner.rs", ""),
            ("c/src/not_this.rs", ""),
        ]);
        let reached: Vec<(String, bool)> =
            reached(&tree, &Package::of("c", &[])).into_iter().collect();
        let expected = [
            ("c/src/a.rs", false),
            ("c/src/a/deep.rs", false),
            ("c/src/a/odd.rs", false),
            ("c/src/a/tests.rs", true),
            ("c/src/a/tests/helper.rs", true),
            ("c/src/b/inner.rs", false),
            ("c/src/lib.rs", false),
        ];
        assert_eq!(reached, expected.map(|(path, tests)| (path.to_owned(), tests)));
    }
}
