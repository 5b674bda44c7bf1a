//! Pages of a guest's HTTP server, through a forwarded port.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long the server may take with an answer before it is asked again, at first and at the end: QEMU takes a connection before there is a
/// guest, and a busy machine takes its time.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(10));
const PAUSE: Duration = Duration::from_millis(100);

/// Asks once.
///
/// # Errors
///
/// When nobody answers in time, or with nothing.
fn page(port: u16, path: &str, patience: Duration) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// Returns what a server at a port of 127.0.0.1 answers when it is asked for a path: head and body. It is asked again and again until there is
/// an answer or the limit is over.
///
/// # Errors
///
/// Why the last try had no answer.
pub fn page_within(port: u16, path: &str, limit: Duration) -> Result<String> {
    let (deadline, mut patience) = (Instant::now() + limit, PATIENCE.0);
    loop {
        match page(port, path, patience) {
            Err(_) if Instant::now() < deadline => thread::sleep(PAUSE),
            answer => return answer,
        }
        patience = PATIENCE.1.min(patience * 5 / 4);
    }
}

/// The same, until the answer is good: a server may be up before its files are there.
///
/// # Errors
///
/// Why the last try had no answer, or which one it had.
pub fn good_page_within(port: u16, path: &str, limit: Duration) -> Result<String> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = page_within(port, path, left)?;
        match body(&answer) {
            Ok(_) => return Ok(answer),
            Err(error) if left.is_zero() => return Err(error),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Returns the body of an answer that is good.
///
/// # Errors
///
/// Says which answer it is instead.
pub fn body(answer: &str) -> Result<&str> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Error::other("an answer without a head"))?;
    let status = head.lines().next().unwrap_or_default();
    let is_good = status.split(' ').nth(1) == Some("200");
    if is_good { Ok(body) } else { Err(Error::other(format!("the answer is {status:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_or_told() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nA: b\r\n\r\ntext").unwrap(), "text");
        assert!(body("HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err().to_string().contains("404 Not Found"));
        assert!(body("200").is_err());
    }

    #[test]
    fn nobody_is_an_error_in_time() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(page_within(port, "/", Duration::ZERO).is_err());
    }
}
