//! Stops the build with one clear sentence where the linker would print pages: the RocksDB engine
//! links an archive that `cargo xtask setup` compiles once per machine.

fn main() {
    println!("cargo::rerun-if-env-changed=ROCKSDB_LIB_DIR");
    if std::env::var_os("CARGO_FEATURE_ROCKSDB").is_none() {
        return;
    }
    let Some(directory) = std::env::var_os("ROCKSDB_LIB_DIR") else { return };
    let archive = std::path::Path::new(&directory).join("librocksdb.a");
    println!("cargo::rerun-if-changed={}", archive.display());
    if !archive.exists() {
        println!("cargo::error=there is no RocksDB archive here yet: run `cargo xtask setup`");
    }
}
