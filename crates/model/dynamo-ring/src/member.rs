//! Who can hold replicas: a node with a weight, in a zone.

use alloc::sync::Arc;
use core::fmt;

use dynamo_types::NodeId;

/// What fails together: a rack, a data centre. Placement only compares zones; a genesis checks that
/// their names [are sound](Zone::is_sound).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Arc<str>);

impl Zone {
    /// A zone's name fits a metric label.
    pub const BYTES_MAX: usize = 64;

    /// The zone of that name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Whether the name has 1 to 64 bytes of `[A-Za-z0-9._-]`.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (1..=Self::BYTES_MAX).contains(&self.0.len()) && self.0.bytes().all(allowed)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Zone {
    /// The zone of a cluster that does not tell zones apart: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({self})")
    }
}

/// A node as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingMember {
    /// Who.
    pub node: NodeId,
    /// Its share of the load relative to the others', at least 1 (Paper §4.2: capacity).
    pub weight: u32,
    /// What it fails together with.
    pub zone: Zone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_zone_name_keeps_to_its_alphabet_and_length() {
        assert!(Zone::new("eu-west.1_a").is_sound());
        assert!(Zone::default().is_sound());
        for name in ["", "a b", &"z".repeat(65)] {
            assert!(!Zone::new(name).is_sound(), "{name:?}");
        }
    }
}
