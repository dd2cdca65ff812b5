//! The text files of the repository, as values: rules read these and never the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What is read below the top; the rest (`target/`, `.git/`) is not the project's text.
const FOLDERS: [&str; 7] = [".cargo", ".ci", ".github", "crates", "docs", "scripts", "xtask"];

/// Paths from the top of the tree, with `/` between their parts, and what the files say.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads every UTF-8 file; others (fixtures) have no text that a rule could judge.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        for entry in entries(root)? {
            if root.join(&entry).is_file() {
                tree.read_file(root, &entry)?;
            }
        }
        for folder in FOLDERS {
            if root.join(folder).is_dir() {
                tree.read_folder(root, folder)?;
            }
        }
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<()> {
        for name in entries(&root.join(folder))? {
            let path = format!("{folder}/{name}");
            if root.join(&path).is_dir() {
                if name != "target" {
                    self.read_folder(root, &path)?;
                }
            } else {
                self.read_file(root, &path)?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, root: &Path, path: &str) -> Result<()> {
        let bytes = fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            self.files.insert(path.to_owned(), text);
        }
        Ok(())
    }

    /// Every file with its text, in the order of paths.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every Rust source file.
    pub(super) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// What a file says, if it is there.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a path names a file or a folder with files in it.
    pub(super) fn holds(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.contains_key(path)
            || self
                .files
                .range(folder.clone()..)
                .next()
                .is_some_and(|(p, _)| p.starts_with(&folder))
    }

    /// A tree for a test.
    #[cfg(test)]
    pub(super) fn of<const COUNT: usize>(files: [(&str, &str); COUNT]) -> Self {
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        Self { files: files.into() }
    }
}

fn entries(folder: &Path) -> Result<Vec<String>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in folder.read_dir().with_context(unreadable)? {
        // A name that is not UTF-8 cannot be written in a document or a `mod` line either.
        names.extend(entry.with_context(unreadable)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Tree;

    #[test]
    fn text_is_read_and_build_output_is_not() {
        let root = tempfile::tempdir().unwrap();
        for path in ["README.md", "crates/a/src/lib.rs", "crates/a/target/x.rs", "target/y.rs"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::write(root.path().join("crates/a/fixture.bin"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<&str> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(paths, ["README.md", "crates/a/src/lib.rs"]);
    }

    #[test]
    fn a_path_is_held_as_a_file_or_as_a_folder() {
        let tree = Tree::of([("crates/a/src/lib.rs", ""), ("crates/a-b/x", "")]);
        assert!(tree.holds("crates/a/src/lib.rs") && tree.holds("crates/a/src"));
        assert!(!tree.holds("crates/a/sr") && !tree.holds("crates/b"));
    }
}
