//! The walk down two trees to the leaves that differ.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::digest::{ShortSum, Sum};
use crate::node_path::NodePath;
use crate::tree::SumTree;

/// One side of a walk: asks the other side for the sums below nodes that differ, until it is at the
/// leaves.
///
/// Begin with the other's root, then while there is a [`question`](Self::question) ask it and pass
/// the answer to [`answered`](Self::answered). Several may be asked at once. What the walk keeps is
/// bounded by the tree: at most one path for each leaf.
#[derive(Debug, Clone)]
pub struct Descent {
    depth: u8,
    open: VecDeque<NodePath>,
    leaves: Vec<NodePath>,
}

impl Descent {
    /// Begins with the other side's root and depth. The walk ends at the leaves of the shallower
    /// tree.
    #[must_use]
    pub fn new(tree: &SumTree, other_root: Sum, other_depth: u8) -> Self {
        let mut descent = Self {
            depth: tree.depth().min(other_depth),
            open: VecDeque::new(),
            leaves: Vec::new(),
        };
        if tree.root() != other_root {
            descent.differs(NodePath::ROOT);
        }
        descent
    }

    /// The next node whose children's sums to ask for ([`SumTree::children`] at the other side).
    pub fn question(&mut self) -> Option<NodePath> {
        self.open.pop_front()
    }

    /// The other side's answer for a node that was asked for.
    pub fn answered(&mut self, tree: &SumTree, path: NodePath, theirs: &[ShortSum; 16]) {
        let Some(ours) = tree.children(path) else { return };
        for (child, (ours, theirs)) in path.children().zip(ours.iter().zip(theirs)) {
            if ours != theirs {
                self.differs(child);
            }
        }
    }

    /// The leaves found to differ so far, in the order in which they were found.
    #[must_use]
    pub fn leaves(&self) -> &[NodePath] {
        &self.leaves
    }

    fn differs(&mut self, path: NodePath) {
        if path.depth() == self.depth {
            self.leaves.push(path);
        } else if path.depth() < self.depth {
            self.open.push_back(path);
        }
    }
}

/// The leaves, of the shallower tree, in which two trees differ, in order.
#[must_use]
pub fn differing_leaves(ours: &SumTree, theirs: &SumTree) -> Vec<NodePath> {
    let mut descent = Descent::new(ours, theirs.root(), theirs.depth());
    while let Some(path) = descent.question() {
        let children = theirs.children(path).expect("the walk stays above the shallower leaves");
        descent.answered(ours, path, &children);
    }
    descent.leaves
}
