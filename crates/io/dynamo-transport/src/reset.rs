//! Being recognised after a restart.
//!
//! A process that receives a packet of a connection that it does not know may answer with a
//! stateless reset, and the peer then gives the connection up at once. The answer is believed only
//! if it carries a token that the connection's first owner made. Tokens are therefore derived from
//! the identity's private key, which outlives the process: peers of a restarted node notice with
//! their next packet, not after the idle timeout.

use std::time::Duration;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator};

use crate::identity::Identity;

/// The key of the tokens.
pub(crate) struct ResetKey([u8; 32]);

impl ResetKey {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self(identity.derive_secret("dynamo-transport 2026 stateless reset"))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signature = <[u8; blake3::OUT_LEN]>::try_from(signature).map_err(|_| CryptoError)?;
        // Compared in constant time.
        if blake3::keyed_hash(&self.0, data) == signature { Ok(()) } else { Err(CryptoError) }
    }
}

/// 64 random bits: no two ids of one endpoint meet in practice.
const ID_BYTES: usize = 8;

/// Makes random connection ids. Quinn's own carry a tag by which a process tells its ids from those of
/// others, under a key that dies with the process, and a reset is sent only for ids with the tag: after
/// a restart for none. Without a tag, garbage can provoke resets; quinn sends at most fifty a second.
pub(crate) struct ConnectionIds;

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut id)
            .expect("the system has randomness: TLS could not have started without");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
