//! How the database is laid out, each figure with its reason.

use std::path::PathBuf;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode,
    DEFAULT_COLUMN_FAMILY_NAME, Env, LogLevel, Options,
};

use crate::batch::{ColumnSpec, Purpose};

/// From this size values live in blob files. Below it, the extra read for a value apart from its
/// key costs more than copying it a few times while merging.
const BLOB_BYTES_MIN: u64 = 4 << 10;

/// One blob file. Space comes back a file at a time, so it should not be large; each is a file
/// descriptor, so it should not be small.
const BLOB_FILE_BYTES: u64 = 64 << 20;

/// Flushes and merges at a time. The machines this runs on have few cores, and the requests need
/// them more.
const BACKGROUND_JOBS: i32 = 2;

/// Bits per key of the filters: about one false positive in a hundred.
const FILTER_BITS_PER_KEY: f64 = 10.0;

/// RocksDB's own log: a few files of warnings, never more.
const LOG_FILES: usize = 4;
const LOG_FILE_BYTES: usize = 4 << 20;

/// Dirty pages are handed to the disk in steps of this size while files are written, so that the
/// final sync, which requests may be queueing behind, finds little left to do.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// What to open and how much memory and disk it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// The database's directory, which should hold nothing else. Created if missing.
    pub directory: PathBuf,
    /// Whether the owner has used this database before. If none is there then, it was lost, and the
    /// one that is created in its place is reported as [`Recovery::Missing`](crate::Recovery).
    /// `false` by default.
    pub used_before: bool,
    /// The columns, in the order that [`Column`](crate::Column) numbers them. An existing database
    /// must be opened with all the columns it has; new ones are created.
    pub columns: Vec<ColumnSpec>,
    /// Bytes of blocks, filters and large values kept in memory. 256 MiB by default: enough for
    /// the filters of a hundred million keys, the rest is for the hot rows.
    pub cache_bytes: usize,
    /// Bytes of recent writes kept in memory before they are sorted into files. 64 MiB by default:
    /// larger ones make fewer, larger files, but a restart reads up to four times as much log.
    pub write_buffer_bytes: usize,
    /// Free bytes that writes which add rows must leave on the file system. 256 MiB by default:
    /// room for a flush of the write buffer and for a merge of the files it goes into.
    pub reserve_bytes: u64,
    /// Files that may be open. 512 by default: half of the usual limit of a process, whose other
    /// half is for connections. Beyond it, files are opened and closed as they are read.
    pub open_files_max: u32,
}

impl OpenOptions {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, columns: &[ColumnSpec]) -> Self {
        Self {
            directory: directory.into(),
            used_before: false,
            columns: columns.to_vec(),
            cache_bytes: 256 << 20,
            write_buffer_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            open_files_max: 512,
        }
    }

    pub(super) fn database(&self, recovery: DBRecoveryMode) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_wal_recovery_mode(recovery);
        // A write is in the operating system's hands when it returns.
        options.set_manual_wal_flush(false);
        // All columns go to files at one moment. Otherwise a damaged log could leave one column
        // ahead of another, and the database would refuse to open at all.
        options.set_atomic_flush(true);
        // Bounds the log, and with it what a restart reads, when a column is written rarely.
        options.set_max_total_wal_size(4 * self.write_buffer_bytes as u64);
        options.set_db_write_buffer_size(self.write_buffer_bytes);
        options.set_max_open_files(i32::try_from(self.open_files_max).unwrap_or(i32::MAX));
        options.set_max_background_jobs(BACKGROUND_JOBS);
        yield_to_requests(&mut options);
        options.set_bytes_per_sync(BYTES_PER_SYNC);
        // Removing files is left to the background: it can take long and readers would wait for it.
        options.set_avoid_unnecessary_blocking_io(true);
        // One thread writes, so the machinery that lets many do so only costs.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(LOG_FILES);
        options.set_max_log_file_size(LOG_FILE_BYTES);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    pub(super) fn families(&self, merging: bool) -> Vec<ColumnFamilyDescriptor> {
        let cache = Cache::new_lru_cache(self.cache_bytes);
        // RocksDB insists on a column of its own. It stays empty, but the largest buffer of all
        // columns is also the space that RocksDB waits for after it ran out.
        let unused = ColumnSpec { name: DEFAULT_COLUMN_FAMILY_NAME, purpose: Purpose::Rows };
        let each = self.columns.iter().chain([&unused]);
        each.map(|spec| {
            let mut options = self.family(spec, &cache);
            options.set_disable_auto_compactions(!merging);
            ColumnFamilyDescriptor::new(spec.name, options)
        })
        .collect()
    }

    fn family(&self, spec: &ColumnSpec, cache: &Cache) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_bloom_filter(FILTER_BITS_PER_KEY, false);
        // Indexes and filters count against the cache: memory has one bound, not one per file.
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);

        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        // Half of the budget each: the budget of all columns is what triggers a flush.
        options.set_write_buffer_size(self.write_buffer_bytes / 2);
        options.set_max_write_buffer_number(4);
        if spec.purpose == Purpose::Objects {
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_BYTES_MIN);
            options.set_blob_file_size(BLOB_FILE_BYTES);
            options.set_blob_compression_type(DBCompressionType::Lz4);
            options.set_blob_cache(cache);
            // The oldest quarter of the blob files is rewritten as keys are merged, sooner if half
            // of their content is dead: overwritten values cost at most about twice their size.
            options.set_enable_blob_gc(true);
            options.set_blob_gc_age_cutoff(0.25);
            options.set_blob_gc_force_threshold(0.5);
        }
        options
    }
}

/// Lets flushes and merges have a processor only while no request wants it: on a busy machine they are
/// what the slowest of a hundred writes wait for. If they fall behind for long, RocksDB slows writes
/// down, and with that they have processors again.
///
/// The threads are one pool of the process, whatever the number of databases.
fn yield_to_requests(options: &mut Options) {
    match Env::new() {
        Ok(mut env) => {
            env.lower_thread_pool_cpu_priority();
            env.lower_high_priority_thread_pool_cpu_priority();
            options.set_env(&env);
        }
        Err(error) => tracing::warn!(%error, "flushes and merges run at the priority of requests"),
    }
}
