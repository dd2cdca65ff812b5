//! Figures that RocksDB keeps anyway.

use super::RocksDbEngine;
use crate::batch::Column;
use crate::engine::{ColumnStatistics, Statistics};
use crate::error::StatisticsError;

pub(super) fn read(engine: &RocksDbEngine) -> Result<Statistics, StatisticsError> {
    let mut columns = Vec::with_capacity(engine.columns.len());
    let mut pending_compaction_bytes = 0;
    for (index, column) in engine.columns.iter().enumerate() {
        let figure = |name: &str| {
            let family = engine.family(Column(index));
            match engine.db.property_int_value_cf(family, name) {
                Ok(value) => Ok(value.unwrap_or(0)),
                Err(error) => Err(StatisticsError::Io { detail: error.into_string() }),
            }
        };
        columns.push(ColumnStatistics {
            name: column.spec.name,
            rows: figure("rocksdb.estimate-num-keys")?,
            bytes: figure("rocksdb.live-sst-files-size")?
                + figure("rocksdb.live-blob-file-size")?
                + figure("rocksdb.cur-size-all-mem-tables")?,
        });
        pending_compaction_bytes += figure("rocksdb.estimate-pending-compaction-bytes")?;
    }
    let free_bytes = engine
        .reserve
        .free_bytes()
        .map_err(|error| StatisticsError::Io { detail: error.to_string() })?;
    Ok(Statistics {
        columns,
        pending_compaction_bytes,
        free_bytes: Some(free_bytes),
        stopped: engine.stopped.load(std::sync::atomic::Ordering::Acquire),
    })
}
