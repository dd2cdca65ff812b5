//! The paper's first use: a cart that must never lose what was added (Paper §4.4, §6).
//!
//! Two devices add to the same cart without seeing each other. Both carts are kept side by side, and
//! the next device that reads merges them: here by taking all items of all of them.
//!
//! Run a local cluster, then:
//! `cargo run -p dynamo-client --example shopping_cart -- target/cluster 127.0.0.1:7101`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use dynamo_client::{Bucket, Client, ClientConfig, Context, Identity, Key, Object, Trust};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "target/cluster".to_owned());
    let mut seeds: Vec<String> = arguments.collect();
    if seeds.is_empty() {
        seeds = vec!["127.0.0.1:7101".to_owned(), "127.0.0.1:7102".to_owned()];
    }
    let client = connect(Path::new(&folder), seeds).await?;
    let (carts, key) = (Bucket::new("carts")?, Key::new("customer/42")?);

    // Both devices read the same cart, so neither covers what the other is about to put.
    let start = client.get(&carts, &key).await?;
    let items = merge(&start);
    add(&client, &carts, &key, items.clone(), "milk", start.context.clone()).await?;
    add(&client, &carts, &key, items, "bread", start.context).await?;

    let found = client.get(&carts, &key).await?;
    println!("{} carts side by side", found.siblings.len());

    // Whoever comes next merges them and puts the result in the place of all that was seen.
    add(&client, &carts, &key, merge(&found), "butter", found.context).await?;
    let merged = client.get(&carts, &key).await?;
    println!("{} cart: {:?}", merged.siblings.len(), merge(&merged));
    client.close().await;
    Ok(())
}

/// All items of all siblings: an addition is never lost, though a removed item can come back.
fn merge(cart: &Object) -> BTreeSet<String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let carts = cart.siblings.iter().map(|sibling| text(&sibling.value));
    carts.flat_map(|cart| cart.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

async fn add(
    client: &Client,
    bucket: &Bucket,
    key: &Key,
    mut items: BTreeSet<String>,
    item: &str,
    context: Context,
) -> Result<(), Box<dyn Error>> {
    items.insert(item.to_owned());
    let cart = items.into_iter().collect::<Vec<_>>().join("\n");
    client.put(bucket, key, cart).content_type("text/plain").context(context).await?;
    Ok(())
}

async fn connect(cluster: &Path, seeds: Vec<String>) -> Result<Client, Box<dyn Error>> {
    let read = |path: &str| std::fs::read(cluster.join(path));
    let certificate = read("client/identity/certificate.pem")?;
    let identity = Identity::from_pem(&certificate, &read("client/identity/key.pem")?)?;
    let trust = Trust::from_pem(&read("ca/certificate.pem")?)?;
    Ok(Client::connect(ClientConfig::new(seeds, identity, trust)).await?)
}
