//! A batched, ordered key-value engine with stated durability: RocksDB and memory.
