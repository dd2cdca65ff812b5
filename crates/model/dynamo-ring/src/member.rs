//! Who can hold replicas: a node with a weight, in a zone.

use alloc::sync::Arc;
use core::fmt;

use dynamo_types::NodeId;
use thiserror::Error;

/// What fails together: a rack, a data centre. 1-64 bytes of `[A-Za-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Arc<str>);

/// Why a text cannot name a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// Nothing, or too much.
    #[error("a zone name has 1 to {max} characters, not {0}", max = Zone::BYTES_MAX)]
    Length(usize),
    /// Something outside the alphabet.
    #[error("a zone name has only letters, digits, `.`, `_` and `-`")]
    Alphabet,
}

impl Zone {
    /// A zone name fits a metric label.
    pub const BYTES_MAX: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn new(name: &str) -> Result<Self, ZoneError> {
        if name.is_empty() || name.len() > Self::BYTES_MAX {
            return Err(ZoneError::Length(name.len()));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.bytes().all(allowed) { Ok(Self(name.into())) } else { Err(ZoneError::Alphabet) }
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
    fn a_zone_name_keeps_to_its_alphabet_and_length() {
        assert!(Zone::new("eu-west.1_a").is_ok());
        assert_eq!(Zone::new(""), Err(ZoneError::Length(0)));
        assert_eq!(Zone::new(&"z".repeat(65)), Err(ZoneError::Length(65)));
        assert_eq!(Zone::new("a b"), Err(ZoneError::Alphabet));
    }
}
