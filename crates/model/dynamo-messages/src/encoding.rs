//! The bytes of messages on the wire.
