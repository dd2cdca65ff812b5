//! The node's database: opened, and read once at the start.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use dynamo_protocol::{Column, Recovered};
use dynamo_storage::{
    OpenError, OpenOptions, Recovery, RocksDbEngine, ScanError, ScanItem, StorageEngine,
};

use crate::effect_executor::{columns, storage_column};
use crate::settings::Settings;

/// The database lies below the stamped directory, whose stamp is not its business.
const DIRECTORY: &str = "database";

/// Opens the database of a node, which has run before or not.
pub(crate) fn open(settings: &Settings, has_run: bool) -> Result<RocksDbEngine, OpenError> {
    let options = OpenOptions {
        used_before: has_run,
        cache_bytes: settings.cache_bytes,
        write_buffer_bytes: settings.write_buffer_bytes,
        reserve_bytes: settings.free_bytes_min,
        ..OpenOptions::new(settings.data.join(DIRECTORY), &columns())
    };
    let engine = RocksDbEngine::open(&options)?;
    match engine.recovery() {
        Recovery::Clean => {}
        Recovery::TornTail => {
            tracing::info!("the log ended within a write that nobody was told of");
        }
        Recovery::Shortened => tracing::error!(
            "the log was damaged: this node's data is that of an earlier moment. It starts \
             incomplete: it says of no key that it has no value, and does not count in reads, until \
             the other replicas have filled it again"
        ),
        Recovery::Missing => tracing::error!(
            "this node ran before and its database is gone: its disk was replaced or wiped. It starts \
             empty and incomplete: it says of no key that it has no value, and does not count in \
             reads, until the other replicas have filled it again"
        ),
    }
    Ok(engine)
}

/// What the node starts with: all rows of the meta column in key order, a count of the hints, and
/// whether more was there once.
pub(crate) fn recover(engine: &RocksDbEngine) -> Result<Recovered, ScanError> {
    let mut meta = Vec::new();
    let range = (Bound::Unbounded, Bound::Unbounded);
    engine.scan(storage_column(Column::Meta), &range, &mut |item| {
        match item {
            ScanItem::Row { key, value } => {
                meta.push((Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value))));
            }
            ScanItem::DamagedRow { key } => {
                tracing::error!(?key, "a row that the node starts with is damaged");
                meta.push((Bytes::copy_from_slice(key), None));
            }
            ScanItem::DamagedRange { from, until } => {
                tracing::error!(?from, ?until, "rows that the node starts with cannot be read");
                meta.push((Bytes::copy_from_slice(from), None));
            }
        }
        ControlFlow::Continue(())
    })?;
    let incomplete = engine.recovery().may_lack_synced_writes();
    let mut recovered = Recovered { meta, incomplete, ..Recovered::default() };
    engine.scan(storage_column(Column::Hints), &range, &mut |item| {
        match item {
            ScanItem::Row { key, value } => {
                recovered.count_hint(&Bytes::copy_from_slice(key), value.len());
            }
            ScanItem::DamagedRow { key } => {
                tracing::error!(?key, "a hint is damaged");
                recovered.count_hint(&Bytes::copy_from_slice(key), 0);
            }
            ScanItem::DamagedRange { from, until } => {
                tracing::error!(?from, ?until, "hints cannot be read");
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(recovered)
}
