//! Who may ask what over HTTP.

use std::collections::BTreeSet;
use std::fmt;

/// What a credential allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Reads of objects, listings, settings and the cluster.
    Read,
    /// Puts and deletes.
    Write,
    /// Settings of buckets, and changes of the members.
    Admin,
}

impl Permission {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The permission of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|p| p.name() == name)
    }
}

/// A token and what its bearer may do. Only the token's digest is kept, so that neither a log line
/// nor a core file shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// A name for the log.
    pub principal: String,
    /// What the bearer may do.
    pub permissions: BTreeSet<Permission>,
    digest: blake3::Hash,
}

impl Credential {
    /// A credential for a token.
    #[must_use]
    pub fn new(principal: String, token: &[u8], permissions: BTreeSet<Permission>) -> Self {
        Self { principal, permissions, digest: blake3::hash(token) }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("principal", &self.principal)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// What became of a request's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Granted,
    /// No credential, or an unknown one.
    Unknown,
    /// Known, but not allowed to do this.
    Forbidden {
        /// Who asked.
        principal: String,
    },
}

/// All credentials of a server.
#[derive(Debug, Clone, Default)]
pub struct AccessTable {
    credentials: Vec<Credential>,
}

impl AccessTable {
    /// A table; an empty one lets everybody do everything.
    #[must_use]
    pub fn new(credentials: Vec<Credential>) -> Self {
        Self { credentials }
    }

    /// Decides on a request. Digests are compared, in constant time and against every entry, so
    /// that the time taken says nothing about any token.
    #[must_use]
    pub fn decide(&self, bearer: Option<&[u8]>, needed: Permission) -> Access {
        if self.credentials.is_empty() {
            return Access::Granted;
        }
        let Some(bearer) = bearer else { return Access::Unknown };
        let digest = blake3::hash(bearer);
        let mut found = None;
        for credential in &self.credentials {
            if credential.digest == digest {
                found = Some(credential);
            }
        }
        match found {
            None => Access::Unknown,
            Some(credential) if credential.permissions.contains(&needed) => Access::Granted,
            Some(credential) => Access::Forbidden { principal: credential.principal.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_its_own_permissions_and_no_others() {
        let reader = Credential::new("reader".into(), b"secret", [Permission::Read].into());
        assert!(!format!("{reader:?}").contains("secret"));
        let table = AccessTable::new(vec![reader]);
        let forbidden = Access::Forbidden { principal: "reader".into() };
        assert_eq!(table.decide(Some(b"secret"), Permission::Read), Access::Granted);
        assert_eq!(table.decide(Some(b"secret"), Permission::Write), forbidden);
        assert_eq!(table.decide(Some(b"secret2"), Permission::Read), Access::Unknown);
        assert_eq!(table.decide(None, Permission::Read), Access::Unknown);
    }

    #[test]
    fn without_credentials_everybody_may() {
        assert_eq!(AccessTable::default().decide(None, Permission::Admin), Access::Granted);
    }
}
