//! What quinn needs to know of an identity: made anew when the certificate is.

use std::sync::Arc;

use quinn::{ClientConfig, ServerConfig, TransportConfig};

use crate::identity::{Identity, Trust};
use crate::tls::{self, Protocol, TlsError};
use crate::tuning;

/// The configurations that carry the certificate and the authorities.
#[derive(Debug, Clone)]
pub(super) struct Configs {
    pub(super) server: ServerConfig,
    node: ClientConfig,
    client: ClientConfig,
}

impl Configs {
    pub(super) fn new(
        identity: &Identity,
        trust: &Trust,
        transport: &Arc<TransportConfig>,
    ) -> Result<Self, TlsError> {
        let dial =
            |protocol| Ok(tuning::client(tls::client(identity, trust, protocol)?, transport));
        Ok(Self {
            server: tuning::server(tls::server(identity, trust)?, transport),
            node: dial(Protocol::Node)?,
            client: dial(Protocol::Client)?,
        })
    }

    /// The configuration for dialling.
    pub(super) fn dial(&self, protocol: Protocol) -> ClientConfig {
        match protocol {
            Protocol::Node => self.node.clone(),
            Protocol::Client => self.client.clone(),
        }
    }
}
