//! How quinn is set up: windows, timers, sizes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use crate::identity::Identity;
use crate::lane::LANES;
use crate::limits::Limits;
use crate::reset::{ConnectionIds, ResetKey};

/// Room in a connection's windows beside the lanes: the hello.
const HELLO_WINDOW_BYTES: u32 = 64 * 1024;

/// Newcomers that arrive within one turn of the event loop. 256: a flood beyond it is refused.
const WAITING_MAX: usize = 256;

/// What is kept of a newcomer's packets before its handshake begins. A hello of TLS takes one or two.
const HANDSHAKE_BUFFER_BYTES: u64 = 64 * 1024;

/// What may be under way before the path is known. The usual dozen packets would stretch the first
/// large value over several round trips; a data centre's path takes this at once.
const INITIAL_WINDOW_BYTES: u64 = 256 * 1024;

/// The round trip to assume before one was measured: it decides when a lost first packet is sent again.
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// The longest a peer may wait before it acknowledges. Short against the idle timeout, long against a
/// turn of an event loop.
const ACKNOWLEDGEMENT_DELAY: Duration = Duration::from_millis(5);

/// The settings of every connection.
pub(crate) fn transport(limits: &Limits) -> TransportConfig {
    let lanes = u32::try_from(LANES).expect("few lanes");
    let window = limits.lane_window_bytes.saturating_mul(lanes).saturating_add(HELLO_WINDOW_BYTES);
    let idle = IdleTimeout::try_from(limits.idle_timeout).unwrap_or(VarInt::MAX.into());
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW_BYTES);
    let mut mtu_discovery = MtuDiscoveryConfig::default();
    let (initial_mtu, mtu_max) = limits.mtus();
    mtu_discovery.upper_bound(mtu_max);

    // Asked of peers: an acknowledgement for every tenth packet, or after 5 ms. With the usual one for
    // every second, a third of the packets of a busy lane were acknowledgements alone (4.7 packets
    // against 3.2 per hundred round trips, 64 in flight, and a quarter of the CPU).
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements
        .ack_eliciting_threshold(VarInt::from_u32(10))
        .max_ack_delay(Some(ACKNOWLEDGEMENT_DELAY));

    let mut config = TransportConfig::default();
    config
        // One for the hello, one for each lane: a peer cannot make this side keep more.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(lanes))
        .stream_receive_window(VarInt::from_u32(limits.lane_window_bytes))
        .receive_window(VarInt::from_u32(window))
        .send_window(u64::from(window))
        .datagram_receive_buffer_size(Some(limits.datagram_buffer_bytes))
        .datagram_send_buffer_size(limits.datagram_buffer_bytes)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits.keep_alive))
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(initial_mtu)
        .mtu_discovery_config(Some(mtu_discovery))
        .congestion_controller_factory(Arc::new(congestion))
        .ack_frequency_config(Some(acknowledgements))
        .enable_segmentation_offload(true);
    config
}

/// The settings of connections that this side takes.
pub(crate) fn server(
    crypto: QuicServerConfig,
    transport: &Arc<TransportConfig>,
) -> quinn::ServerConfig {
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(transport.clone())
        // Peers here do not roam; one that changed its address connects anew.
        .migration(false)
        // These wait for the acceptor, which takes them at once and then counts for itself.
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(HANDSHAKE_BUFFER_BYTES)
        .incoming_buffer_size_total(HANDSHAKE_BUFFER_BYTES * WAITING_MAX as u64);
    config
}

/// The settings of connections that this side dials.
pub(crate) fn client(
    crypto: QuicClientConfig,
    transport: &Arc<TransportConfig>,
) -> quinn::ClientConfig {
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport.clone());
    config
}

/// The settings of the endpoint.
pub(crate) fn endpoint(identity: &Identity, limits: &Limits) -> quinn::EndpointConfig {
    let mut config = quinn::EndpointConfig::new(Arc::new(ResetKey::of(identity)));
    config.cid_generator(|| Box::new(ConnectionIds));
    config.max_udp_payload_size(limits.mtus().1).expect("above QUIC's minimum");
    config
}

/// Opens the UDP socket.
pub(crate) fn socket(listen: SocketAddr, limits: &Limits) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel may have less to give. That costs packets under bursts and nothing else.
    if let Err(error) = socket.set_recv_buffer_size(limits.socket_buffer_bytes) {
        debug!(%error, "receive buffer stays as it was");
    }
    if let Err(error) = socket.set_send_buffer_size(limits.socket_buffer_bytes) {
        debug!(%error, "send buffer stays as it was");
    }
    socket.bind(&listen.into())?;
    Ok(socket.into())
}
