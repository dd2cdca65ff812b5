//! One HTTP request, as much as a readiness check needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A node on this machine that takes longer to answer is not ready.
const PATIENCE: Duration = Duration::from_secs(1);
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

    use super::status;

    /// Answers one connection with these pieces and returns what it was asked.
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
