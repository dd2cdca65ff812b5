//! One HTTP request, as much as a readiness check or a change of the members needs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// A node on this machine that takes longer to answer is not ready.
const PATIENCE: Duration = Duration::from_secs(1);
/// A change of the members waits for a majority of them.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);
/// No answer about members or moves is longer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The status line is at the very start; the rest of the answer is not read.
const STATUS_LINE_BYTES_MAX: u64 = 64;

/// The status of `GET <path>`, or `None` when nobody answers in HTTP within a second.
pub(super) fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut limited = stream.take(STATUS_LINE_BYTES_MAX);
    let mut piece = [0; STATUS_LINE_BYTES_MAX as usize];
    while parse_status(&answer).is_none() {
        match limited.read(&mut piece).ok()? {
            0 => break,
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    parse_status(&answer)
}

/// An answer in JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Asks in JSON, or with `GET` if there is nothing to say, and reads the whole answer.
pub(super) fn json(address: SocketAddr, path: &str, body: Option<&Value>) -> Result<Answer> {
    let answer = exchange(address, path, body)
        .with_context(|| format!("no whole answer from http://{address}{path}"))?;
    let malformed = || format!("http://{address}{path} does not answer in JSON over HTTP");
    let status = parse_status(&answer).with_context(malformed)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").with_context(malformed)?;
    let body = serde_json::from_slice(&answer[end + 4..]).with_context(malformed)?;
    Ok(Answer { status, body })
}

fn exchange(address: SocketAddr, path: &str, body: Option<&Value>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(CHANGE_PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (method, text) = match body {
        None => ("GET", String::new()),
        Some(body) => ("POST", body.to_string()),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// `HTTP/1.1 200 OK` is 200; `None` until the number is complete.
fn parse_status(answer: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(answer).ok()?;
    let (version, rest) = text.split_once(' ')?;
    let number = version.starts_with("HTTP/1.").then(|| rest.get(..3))??;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{self, JoinHandle};

    use serde_json::json;

    use super::status;

    /// Answers one connection with these pieces and returns the head of what it was asked.
    fn server(pieces: &'static [&'static str]) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            // Closed with something unread, a connection is reset and its answer lost.
            let head = String::from_utf8_lossy(&asked).into_owned();
            let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            stream.read_exact(&mut body).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
                stream.flush().unwrap();
            }
            String::from_utf8(asked).unwrap()
        });
        (address, asked)
    }

    #[test]
    fn the_status_is_read_from_the_first_line() {
        let (address, asked) = server(&["HTTP/1.1 503 Service Unavailable\r\n\r\nnot yet"]);
        assert_eq!(status(address, "/readyz"), Some(503));
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let (address, asked) = server(&["HTT", "P/1.1 2", "00 OK\r\n\r\n"]);
        assert_eq!(status(address, "/"), Some(200));
        asked.join().unwrap();
    }

    #[test]
    fn a_question_in_json_gets_its_answer_whatever_the_status() {
        let (address, asked) =
            server(&["HTTP/1.1 409 Conflict\r\n", "X: y\r\n\r\n{\"detail\":", "1}"]);
        let answer =
            super::json(address, "/v1/cluster/plan", Some(&json!({"changes": []}))).unwrap();
        assert_eq!((answer.status, answer.body), (409, json!({"detail": 1})));
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /v1/cluster/plan HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nContent-Length: 14\r\n"), "{asked}");

        let (address, asked) = server(&["HTTP/1.1 200 OK\r\n\r\nplain"]);
        let error = super::json(address, "/v1/cluster", None).unwrap_err();
        assert!(error.to_string().contains("does not answer in JSON"), "{error}");
        assert!(asked.join().unwrap().starts_with("GET /v1/cluster HTTP/1.1\r\n"));
    }

    #[test]
    fn silence_and_other_protocols_are_no_status() {
        let (address, asked) = server(&["SSH-2.0-OpenSSH_9.2\r\n"]);
        assert_eq!(status(address, "/"), None);
        asked.join().unwrap();
        let (address, asked) = server(&[]);
        assert_eq!(status(address, "/"), None);
        asked.join().unwrap();
        // The listener is gone now, so the connection is refused.
        assert_eq!(status(address, "/"), None);
    }
}
