//! An asynchronous client that routes by the partition table.
