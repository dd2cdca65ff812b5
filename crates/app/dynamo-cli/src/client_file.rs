//! The file that says how to reach a cluster.
//!
//! ```toml
//! seeds = ["127.0.0.1:7101", "127.0.0.1:7102"]
//! certificate = "identity/certificate.pem"   # paths are relative to this file
//! key = "identity/key.pem"
//! ca = "../ca/certificate.pem"
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use dynamo_client::{ClientConfig, Identity, Trust};
use serde::Deserialize;

/// Where a local cluster keeps the file, from the project's root.
const LOCAL: &str = "target/cluster/client/client.toml";
/// Where a person keeps it, from the home directory.
const PERSONAL: &str = ".config/dynamo/client.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seeds: Vec<String>,
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

/// Finds the file: `given`, else that of a local cluster from `current` upwards, else that of the
/// person.
///
/// # Errors
/// There is none; the message says where it was looked for.
pub fn find(given: Option<&Path>, current: &Path, home: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let local = current.ancestors().map(|folder| folder.join(LOCAL));
    let personal = home.map(|home| home.join(PERSONAL));
    let Some(found) = local.chain(personal).find(|path| path.is_file()) else {
        bail!(
            "no client.toml found: neither {LOCAL} from {} upwards nor ~/{PERSONAL}; \
             start a local cluster with `cargo xtask cluster up`, or name the file with --config",
            current.display()
        );
    };
    Ok(found)
}

/// Reads the file and what it names.
///
/// # Errors
/// A file cannot be read or is not what it should be; the message names it.
pub fn load(path: &Path) -> anyhow::Result<ClientConfig> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let text = String::from_utf8(read(path)?)
        .with_context(|| format!("{} is not text", path.display()))?;
    let file: File =
        toml::from_str(&text).with_context(|| format!("cannot use {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let (certificate, key) = (folder.join(file.certificate), folder.join(file.key));
    let identity = Identity::from_pem(&read(&certificate)?, &read(&key)?)
        .with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?;
    let ca = folder.join(file.ca);
    let trust =
        Trust::from_pem(&read(&ca)?).with_context(|| format!("cannot use {}", ca.display()))?;
    Ok(ClientConfig::new(file.seeds, identity, trust))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_local_cluster_is_found_from_below() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(LOCAL);
        let below = root.path().join("crates/app");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::create_dir_all(&below).unwrap();
        let error = find(None, &below, Some(root.path())).unwrap_err();
        assert!(error.to_string().contains("cluster up"), "{error}");
        std::fs::write(&file, "").unwrap();
        assert_eq!(find(None, &below, None).unwrap(), file);
        let other = Path::new("other.toml");
        assert_eq!(find(Some(other), &below, None).unwrap(), other);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        std::fs::write(&path, "seeds = []\nserver = 1\n").unwrap();
        let error = format!("{:#}", load(&path).unwrap_err());
        assert!(error.contains("server") && error.contains("client.toml"), "{error}");
    }
}
