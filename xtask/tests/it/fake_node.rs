//! A node in name only: answers `dynamo-node`'s command line, `/healthz`, `/readyz`, and changes of the
//! members: the file `state` in a node's directory says what it is.
//!
//! `init` makes the files that the real one makes, as far as xtask looks at them; `run` listens.
//! What it should get wrong is said by files: `die` beside its configuration makes it die at once
//! with a message, `unready` keeps it from being ready, `busy` keeps it from handing over what it has,
//! `fail-init` beside the cluster's directory makes `init` fail in the middle, `refuse` there makes
//! every plan fail, and `late` the next commit.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments.split_first().ok_or("init or run")?;
    let options: BTreeMap<&str, &str> = rest
        .chunks_exact(2)
        .map(|pair| (pair[0].trim_start_matches("--"), pair[1].as_str()))
        .collect();
    match command.as_str() {
        "init" => init(&options),
        "add-node" => add_node(&options),
        "run" => run(Path::new(options["config"])),
        other => Err(format!("no such command: {other}").into()),
    }
}

fn init(options: &BTreeMap<&str, &str>) -> Outcome {
    let directory = PathBuf::from(options["dir"]);
    let nodes: u16 = options["nodes"].parse()?;
    let base: u16 = options["http-base"].parse()?;
    fs::write(directory.join("genesis.toml"), "")?;
    if directory.join("../fail-init").exists() {
        return Err("told to fail in the middle".into());
    }
    fs::create_dir(directory.join("client"))?;
    fs::write(directory.join("client/client.toml"), "seeds = []\nkey = \"k\"\n")?;
    for node in 1..=nodes {
        let home = directory.join(format!("node-{node}"));
        fs::create_dir_all(home.join("identity"))?;
        fs::create_dir_all(home.join("data"))?;
        fs::write(home.join("data/file"), "stored")?;
        fs::write(home.join("dynamo.toml"), format!("{}:{}", options["host"], base + node))?;
    }
    Ok(())
}

fn add_node(options: &BTreeMap<&str, &str>) -> Outcome {
    let home = Path::new(options["dir"]).join(options["name"]);
    fs::create_dir(&home)?;
    fs::create_dir(home.join("identity"))?;
    fs::write(home.join("state"), "joining")?;
    Ok(fs::write(home.join("dynamo.toml"), options["http-address"])?)
}

fn run(config: &Path) -> Outcome {
    let home = config.parent().ok_or("a configuration stands in a directory")?;
    if home.join("die").exists() {
        return Err("the disk is upside down".into());
    }
    fs::create_dir_all(home.join("data"))?;
    let address: SocketAddr = fs::read_to_string(config)?.parse()?;
    let listener = TcpListener::bind(address)?;
    writeln!(std::io::stdout(), "serving {address}")?;
    for connection in listener.incoming() {
        // A client that hangs up early is no reason to stop.
        let _ = answer(&connection?, home);
    }
    Ok(())
}

fn answer(mut connection: &TcpStream, home: &Path) -> Outcome {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut length, mut header) = (0, String::new());
    while reader.read_line(&mut header)? > 2 {
        if let Some(value) = header.strip_prefix("Content-Length: ") {
            length = value.trim().parse()?;
        }
        header.clear();
    }
    let mut asked = vec![0; length];
    reader.read_exact(&mut asked)?;
    let cluster = home.parent().ok_or("a node stands in a cluster")?;
    let mut target = line.split(' ').skip(1);
    let (status, body) = match target.next().ok_or("no target")? {
        "/healthz" => (200, Value::Null),
        "/readyz" if !home.join("unready").exists() => (200, Value::Null),
        "/v1/cluster" => (200, members(cluster)?),
        "/v1/transfers" => {
            (200, json!({ "transfers": [], "settled": 8, "partitions": 8, "leaving": [] }))
        }
        "/v1/cluster/plan" if cluster.join("../refuse").exists() => {
            (409, refusal("this cannot be done"))
        }
        "/v1/cluster/plan" => (200, json!({ "plan": "feed" })),
        "/v1/cluster/commit" if fs::remove_file(cluster.join("../late")).is_ok() => {
            (409, refusal("planned for another cluster"))
        }
        "/v1/cluster/commit" => (200, commit(cluster, &serde_json::from_slice(&asked)?)?),
        _ => (503, Value::Null),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} So\r\nContent-Length: {}\r\n\r\n", body.len());
    Ok(write!(connection, "{head}{body}")?)
}

fn refusal(detail: &str) -> Value {
    json!({ "type": "urn:dynamo:problem:change-refused", "detail": detail })
}

/// All nodes; who leaves is gone the next time that someone looks, unless it is busy.
fn members(cluster: &Path) -> Result<Value, Box<dyn Error>> {
    let mut members = Vec::new();
    for entry in fs::read_dir(cluster)? {
        let home = entry?.path();
        if !home.join("dynamo.toml").exists() {
            continue;
        }
        let state = fs::read_to_string(home.join("state")).unwrap_or_else(|_| "member".to_owned());
        if state == "leaving" && !home.join("busy").exists() {
            fs::write(home.join("state"), "removed")?;
        }
        let name = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        members.push(json!({ "name": name, "state": state }));
    }
    Ok(json!({ "members": members }))
}

fn commit(cluster: &Path, asked: &Value) -> Result<Value, Box<dyn Error>> {
    if asked["plan"] != "feed" {
        return Err("not the plan".into());
    }
    for (kind, state) in [("join", "member"), ("leave", "leaving"), ("remove", "removed")] {
        if let Some(name) = asked["changes"][0][kind].as_str() {
            fs::write(cluster.join(name).join("state"), state)?;
        }
    }
    Ok(json!({ "committed": true, "partitions_changed": 3, "copies_moved": 4 }))
}
