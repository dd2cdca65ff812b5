//! What objects are called: a bucket and a key.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::limits::{BUCKET_BYTES_MAX, KEY_BYTES_MAX};

/// A bucket's name: 1-64 bytes of `[A-Za-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(Bytes);

/// Why a text cannot name a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BucketError {
    /// No byte at all.
    #[error("a bucket name needs at least one character")]
    Empty,
    /// Longer than [`BUCKET_BYTES_MAX`].
    #[error("a bucket name has at most {BUCKET_BYTES_MAX} characters, not {0}")]
    TooLong(usize),
    /// Something outside the alphabet.
    #[error(
        "a bucket name has only letters, digits, `.`, `_` and `-`, not byte {byte:#04x} at {at}"
    )]
    Alphabet {
        /// The byte.
        byte: u8,
        /// Where it stands, from 0.
        at: usize,
    },
}

impl Bucket {
    /// Checks a name.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, BucketError> {
        let name = name.into();
        if name.is_empty() {
            return Err(BucketError::Empty);
        }
        if name.len() > BUCKET_BYTES_MAX {
            return Err(BucketError::TooLong(name.len()));
        }
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        match name.iter().position(|b| !allowed(b)) {
            Some(at) => Err(BucketError::Alphabet { byte: name[at], at }),
            None => Ok(Self(name)),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }

    /// The name as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({self})")
    }
}

/// A key: 1-1,024 bytes of anything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

/// Why bytes cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No byte at all.
    #[error("a key needs at least one byte")]
    Empty,
    /// Longer than [`KEY_BYTES_MAX`].
    #[error("a key has at most {KEY_BYTES_MAX} bytes, not {0}")]
    TooLong(usize),
}

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// The rule that the bytes break.
    pub fn new(key: impl Into<Bytes>) -> Result<Self, KeyError> {
        let key = key.into();
        match key.len() {
            0 => Err(KeyError::Empty),
            long if long > KEY_BYTES_MAX => Err(KeyError::TooLong(long)),
            _ => Ok(Self(key)),
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for Key {
    /// The key for people: as text where it is UTF-8, else with escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        write!(f, "{}", text.escape_debug())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The full name of an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The bucket, whose settings apply.
    pub bucket: Bucket,
    /// The key within the bucket.
    pub key: Key,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_bucket_name_keeps_to_its_alphabet_and_length() {
        assert!(Bucket::new("carts.2007_A-z").is_ok());
        assert_eq!(Bucket::new(""), Err(BucketError::Empty));
        assert_eq!(Bucket::new("a/b"), Err(BucketError::Alphabet { byte: b'/', at: 1 }));
        assert_eq!(Bucket::new(vec![b'a'; 65]), Err(BucketError::TooLong(65)));
        assert!(Bucket::new(vec![b'a'; 64]).is_ok());
    }

    #[test]
    fn a_key_is_any_bytes_up_to_the_limit() {
        assert!(Key::new(vec![0, 255, b'\n']).is_ok());
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert_eq!(Key::new(vec![0; 1025]), Err(KeyError::TooLong(1025)));
    }
}
