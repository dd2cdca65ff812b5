//! Frames between authenticated peers over QUIC: long-lived lanes, bounded queues.
