//! Who is who: clusters, nodes, the actors that mint dots, and client requests.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// Why a text is not an identity: it must be exactly the hexadecimal digits of the type's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected {expected} hexadecimal digits, found {found} characters or other signs")]
pub struct ParseIdError {
    /// How many digits the identity has.
    pub expected: usize,
    /// How many characters were given.
    pub found: usize,
}

macro_rules! hexadecimal_id {
    ($(#[$doc:meta])* $name:ident($integer:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $integer);

        impl $name {
            /// Digits in the written form.
            pub const DIGITS: usize = size_of::<$integer>() * 2;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = Self::DIGITS)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let refused = ParseIdError { expected: Self::DIGITS, found: text.chars().count() };
                if text.len() != Self::DIGITS || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(refused);
                }
                <$integer>::from_str_radix(text, 16).map($name).map_err(|_| refused)
            }
        }
    };
}

hexadecimal_id! {
    /// A cluster, named once at genesis; nodes of different clusters refuse each other.
    ClusterId(u128)
}

hexadecimal_id! {
    /// A node: derived from its public key, so it survives a new address and an empty disk.
    NodeId(u64)
}

hexadecimal_id! {
    /// One process start of a node (protocol rule 1): whoever restarts mints dots under a new name,
    /// so that a dot can never be used twice, whatever the disk remembers.
    ActorId(u64)
}

hexadecimal_id! {
    /// One logical request of a client; its retries carry the same id.
    RequestId(u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_written_form_reads_back() {
        let id = NodeId(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string(), "00abcdef01234567");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn signs_and_wrong_lengths_are_refused() {
        for text in ["", "+bcdef0123456789", "0abcdef01234567", "g0abcdef01234567"] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?} was accepted");
        }
    }
}
