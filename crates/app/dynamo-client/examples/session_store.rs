//! The paper's second use: sessions, where the last write wins (Paper §6).
//!
//! The bucket's profile decides, not the application: in a `timestamp` bucket a read shows one
//! version, the newest by hybrid logical clock, and no put needs a context.
//!
//! Run a local cluster, then:
//! `cargo run -p dynamo-client --example session_store -- target/cluster 127.0.0.1:7101`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use dynamo_client::{Bucket, Client, ClientConfig, Identity, Key, Profile, Trust};
use dynamo_types::{BucketSettings, Replication};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "target/cluster".to_owned());
    let mut seeds: Vec<String> = arguments.collect();
    if seeds.is_empty() {
        seeds = vec!["127.0.0.1:7101".to_owned(), "127.0.0.1:7102".to_owned()];
    }
    let client = connect(Path::new(&folder), seeds).await?;
    let (sessions, key) = (Bucket::new("sessions")?, Key::new("session/7f3a")?);

    let replication: Replication = client.cluster().await?.replication;
    let settings = BucketSettings {
        expiry: Some(Duration::from_secs(1800)),
        ..BucketSettings::of_profile(Profile::Timestamp, replication)
    };
    client.set_bucket(&sessions, settings).await?;

    client.put(&sessions, &key, "page=1").content_type("text/plain").await?;
    client.put(&sessions, &key, "page=2").content_type("text/plain").await?;
    let session = client.get(&sessions, &key).await?;
    for version in &session.siblings {
        println!("the session: {}", String::from_utf8_lossy(&version.value));
    }

    client.delete(&sessions, &key).await?;
    let gone = client.get(&sessions, &key).await?.siblings.is_empty();
    println!("after signing out: {}", if gone { "gone" } else { "still there" });
    client.close().await;
    Ok(())
}

async fn connect(cluster: &Path, seeds: Vec<String>) -> Result<Client, Box<dyn Error>> {
    let read = |path: &str| std::fs::read(cluster.join(path));
    let certificate = read("client/identity/certificate.pem")?;
    let identity = Identity::from_pem(&certificate, &read("client/identity/key.pem")?)?;
    let trust = Trust::from_pem(&read("ca/certificate.pem")?)?;
    Ok(Client::connect(ClientConfig::new(seeds, identity, trust)).await?)
}
