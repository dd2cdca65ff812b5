//! A node in name only: answers `dynamo-node`'s command line, `/healthz` and `/readyz`.
//!
//! `init` makes the files that the real one makes, as far as xtask looks at them; `run` listens.
//! What it should get wrong is said by files: `die` beside its configuration makes it die at once
//! with a message, `unready` keeps it from being ready, `fail-init` beside the cluster's directory
//! makes `init` fail in the middle.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

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
    for node in 1..=nodes {
        let home = directory.join(format!("node-{node}"));
        fs::create_dir_all(home.join("identity"))?;
        fs::create_dir_all(home.join("data"))?;
        fs::write(home.join("data/file"), "stored")?;
        fs::write(home.join("dynamo.toml"), format!("{}:{}", options["host"], base + node))?;
    }
    Ok(())
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
        let _ = answer(&connection?, !home.join("unready").exists());
    }
    Ok(())
}

fn answer(mut connection: &TcpStream, ready: bool) -> Outcome {
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line)?;
    let ok = line.starts_with("GET /healthz ") || (line.starts_with("GET /readyz ") && ready);
    let status = if ok { "200 OK" } else { "503 Service Unavailable" };
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
    Ok(())
}
