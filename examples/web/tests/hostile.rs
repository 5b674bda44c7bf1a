//! What a client that does something wrong is answered, and that others do not suffer from it.

mod support;

use std::time::Duration;

use smoltcp::socket::tcp::State;
use support::Lab;
use support::client::{Manners, Peer};
use xen_web_example::{File, Files, MOST_HEAD, OpenError, Options, ReadError};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const REQUEST: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: test\r\n\r\n";
const LARGE: &[u8] = b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn nobody_climbs_out_of_the_folder() {
    let mut lab = Lab::serving(Everything, support::fixed(), Options::DEFAULT);
    assert_eq!(lab.get("/%65tc/passwd").text(), "/etc/passwd");
    for target in [
        "/../etc/passwd",
        "/folder/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/..%2fetc/passwd",
        "/.%2e/etc/passwd",
        "/folder%2f..%2f..%2fetc/passwd",
        "/..%5cetc%5cpasswd",
        "/a/./b",
        "//etc/passwd",
        "/etc/passwd%00.html",
        "etc/passwd",
    ] {
        let response = lab.get(target);
        assert_eq!((response.status, response.text().contains("passwd\n")), (400, false), "{target}");
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_closed() {
    let field = |field: &str| format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}".to_owned(), 400),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
        (field("Content-Length: 10"), 413),
        (field("Transfer-Encoding: chunked"), 413),
        (field("Content-Length: 1\r\nTransfer-Encoding: chunked"), 400),
        (field(&format!("X: {}", "y".repeat(MOST_HEAD))), 431),
        (field(&"X: y\r\n".repeat(100)), 431),
        (format!("GET /{} HTTP/1.1\r\n", "y".repeat(MOST_HEAD)), 414),
    ] {
        let mut lab = Lab::new();
        let peer = lab.client.connect();
        // What follows is no request that is answered.
        lab.client.say(peer, request.as_bytes());
        lab.client.say(peer, b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = lab.response(peer, SECOND).unwrap();
        assert_eq!((response.status, response.field("Connection")), (status, Some("close")), "{request:.60}");
        assert!(lab.until(SECOND, |lab| !lab.client.is_connected(peer)), "{request:.60}");
        assert_eq!((lab.web.counts().requests(), lab.client.heard(peer).len()), (1, 0));
    }
}

#[test]
fn other_methods_are_refused() {
    let mut lab = Lab::new();
    for (method, status) in [("OPTIONS", 405), ("DELETE", 405), ("BREW", 501)] {
        let response = lab.ask(&format!("{method} / HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!((response.status, response.field("Connection")), (status, Some("keep-alive")), "{method}");
        assert_eq!(response.field("Allow").is_some(), status == 405);
    }
    let response = lab.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\nGET /smuggled HTTP/1.");
    assert_eq!((response.status, response.field("Connection")), (405, Some("close")));
}

#[test]
fn a_client_that_uploads_hears_why_not() {
    let mut lab = Lab::new();
    let peer = lab.client.connect();
    lab.client.say(peer, b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 50000\r\n\r\n");
    lab.client.say(peer, &[b'x'; 50_000]);
    assert_eq!(lab.response(peer, SECOND).unwrap().status, 405);
    // All that came was taken, so that the answer was not lost to a reset.
    assert!(lab.until(SECOND, |lab| lab.client.state(peer) == State::CloseWait));
    let endless = lab.client.connect();
    lab.client.say(endless, b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 5000000\r\n\r\n");
    lab.client.say(endless, &vec![b'x'; 5_000_000]);
    assert!(lab.until(SECOND, |lab| lab.client.state(endless) == State::Closed));
}

#[test]
fn a_request_that_comes_too_slowly_is_ended() {
    let mut lab = Lab::new();
    let peer = lab.client.connect();
    let start = lab.now;
    lab.client.say(peer, b"GET / HTTP/1.1\r\nHost: test\r\n");
    while lab.client.heard(peer).is_empty() {
        // A byte now and then does not help.
        lab.client.say(peer, b"X: y\r\n");
        lab.pass(SECOND);
        assert!(lab.now - start < 20 * SECOND, "it goes on for ever");
    }
    assert_eq!(lab.response(peer, SECOND).unwrap().status, 408);
    assert!(lab.now - start > 9 * SECOND);
    assert!(lab.until(SECOND, |lab| !lab.client.is_connected(peer)));
}

#[test]
fn a_client_that_asks_for_nothing_is_let_go() {
    let mut lab = Lab::new();
    let (silent, once) = (lab.client.connect(), lab.client.connect());
    lab.client.say(once, REQUEST);
    lab.pass(14 * SECOND);
    assert!(lab.client.is_connected(silent) && lab.client.is_connected(once));
    lab.pass(2 * SECOND);
    assert!(!lab.client.is_connected(silent) && !lab.client.is_connected(once));
    assert!(lab.client.heard(silent).is_empty());
    // They do not say goodbye.
    lab.pass(5 * SECOND);
    assert_eq!((lab.web.counts().cut, lab.web.counts().open), (0, 0));
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let mut lab = Lab::new();
    let peer = lab.client.connect_with(Manners::Stuck, 4096);
    lab.client.say(peer, LARGE);
    lab.pass(14 * SECOND);
    assert!(lab.client.is_connected(peer));
    lab.pass(3 * SECOND);
    assert_eq!((lab.client.state(peer), lab.web.counts().cut), (State::Closed, 1));
}

#[test]
fn a_client_that_takes_its_answer_too_slowly_is_cut_off() {
    let seconds_at = |rate: usize| {
        let mut lab = Lab::new();
        let peer = lab.client.connect_with(Manners::Stuck, 4096);
        lab.client.say(peer, LARGE);
        let mut seconds = 0;
        while seconds < 300 && lab.client.heard(peer).len() < 1_000_000 && lab.client.state(peer) != State::Closed {
            for _ in 0..10 {
                lab.client.take(peer, rate / 10);
                lab.pass(100 * MILLISECOND);
            }
            seconds += 1;
        }
        (seconds, lab.client.heard(peer).len() >= 1_000_000, lab.web.counts().cut)
    };
    let (seconds, is_whole, cut) = seconds_at(1_000);
    assert!(seconds < 30 && !is_whole && cut == 1, "{seconds} s");
    // One that is slow, and not too slow, gets all.
    let (seconds, is_whole, cut) = seconds_at(8_000);
    assert!((120..140).contains(&seconds) && is_whole && cut == 0, "{seconds} s, {cut} cut");
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    let mut lab = Lab::new();
    for request in [&b""[..], b"GET /", LARGE] {
        let peer = lab.client.connect_with(Manners::Stuck, 4096);
        lab.client.say(peer, request);
        lab.pass(100 * MILLISECOND);
        lab.client.vanish(peer);
    }
    assert_eq!(lab.web.counts().open, 3);
    lab.pass(30 * SECOND);
    assert_eq!(lab.web.counts().open, 0);
}

#[test]
fn a_client_whose_cable_is_cut_is_forgotten() {
    let mut lab = Lab::new();
    for request in [&b""[..], b"GET /", LARGE, b"GET / HTTP/1.0\r\n\r\n"] {
        let peer = lab.client.connect_with(Manners::Stuck, 4096);
        lab.client.say(peer, request);
    }
    lab.pass(10 * MILLISECOND);
    assert_eq!(lab.web.counts().open, 4);
    lab.client.port.lose_every(1);
    lab.pass(30 * SECOND);
    assert_eq!(lab.web.counts().open, 0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_request_is_let_go() {
    let mut lab = Lab::new();
    let peer = lab.client.connect();
    lab.client.say(peer, b"GET / HTTP/1.1\r\nHo");
    lab.pass(10 * MILLISECOND);
    lab.client.close(peer);
    lab.pass(SECOND);
    assert_eq!((lab.web.counts().open, lab.web.counts().requests()), (0, 0));
}

#[test]
fn a_handshake_that_is_not_finished_has_a_time() {
    let mut lab = Lab::new();
    lab.client.port.inject(support::wire::handshake([10, 0, 0, 77], 1));
    lab.pass(4 * SECOND);
    assert_eq!(lab.web.counts().cut, 0);
    lab.pass(2 * SECOND);
    assert_eq!((lab.web.counts().cut, lab.web.counts().accepted), (1, 0));
}

#[test]
fn no_more_clients_are_ended_than_others_need() {
    let mut lab = Lab::with(OPTIONS);
    let silent: Vec<Peer> = (0..FEW - 3).map(|_| lab.client.connect()).collect();
    lab.pass(5 * SECOND);
    let left = silent.iter().filter(|peer| lab.client.is_connected(**peer)).count();
    // Four sockets are to be free.
    assert_eq!((left, lab.web.counts().cut), (FEW - 4, 2));
}

#[test]
fn handshakes_that_are_not_finished_do_not_keep_others_out() {
    let mut lab = Lab::with(OPTIONS);
    for number in 0..FEW {
        lab.client.port.inject(support::wire::handshake([10, 0, 0, 77], number as u16));
    }
    lab.pass(100 * MILLISECOND);
    // Nobody answers, and nobody says that there was nothing to answer.
    lab.pass(2 * SECOND);
    assert_eq!(lab.get("/style.css").status, 200);
}

#[test]
fn clients_that_are_stuck_do_not_keep_others_out() {
    // Silent ones, ones in the middle of a request, ones that take nothing of their answer, ones that take nothing of its end.
    for request in [&b""[..], b"GET / HTTP/1.1\r\n", LARGE, b"GET /folder/ HTTP/1.0\r\n\r\n"] {
        let mut lab = Lab::with(OPTIONS);
        let stuck: Vec<Peer> = (0..3 * FEW).map(|_| lab.client.connect_with(Manners::Stuck, 64)).collect();
        for &peer in &stuck {
            lab.client.say(peer, request);
        }
        lab.pass(5 * SECOND);
        for number in 0..20 {
            let response = lab.get("/style.css");
            assert_eq!(response.status, 200, "{number}: {request:?}");
        }
    }
}

#[test]
fn those_who_are_busy_are_not_ended_for_others() {
    let mut lab = Lab::with(OPTIONS);
    let busy: Vec<Peer> = (0..FEW - 1).map(|_| lab.client.connect()).collect();
    for _ in 0..20 {
        for &peer in &busy {
            lab.client.say(peer, REQUEST);
            assert_eq!(lab.response(peer, SECOND).unwrap().status, 200);
        }
        lab.pass(500 * MILLISECOND);
    }
    assert_eq!((lab.web.counts().cut, lab.web.counts().accepted), (0, busy.len() as u64));
}

#[test]
fn one_who_asks_a_lot_at_once_does_not_keep_others_waiting() {
    let mut lab = Lab::new();
    let greedy = lab.client.connect_with(Manners::Stuck, 4096);
    lab.client.say(greedy, &REQUEST.repeat(5_000));
    lab.pass(10 * MILLISECOND);
    let start = lab.now;
    assert_eq!(lab.get("/style.css").status, 200);
    assert!(lab.now - start < 20 * MILLISECOND, "{:?}", lab.now - start);
}

#[test]
fn packets_that_are_none_do_no_harm() {
    let mut lab = Lab::new();
    lab.get("/");
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for number in 0..20_000 {
        // Half of them look like TCP to the server.
        let mut frame: Vec<u8> = (0..usize::from(random())).map(|_| random()).collect();
        let start = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\x45";
        if number % 2 == 0 && frame.len() > start.len() {
            frame[..start.len()].copy_from_slice(start);
        }
        lab.client.port.inject(frame);
        if number % 100 == 0 {
            lab.pass(MILLISECOND);
        }
    }
    assert_eq!(lab.get("/style.css").status, 200);
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let mut lab = Lab::serving(Faulty, support::fixed(), Options::DEFAULT);
    assert_eq!(lab.get("/closed").status, 500);
    // What was promised cannot be kept: the connection ends, and the next one works.
    for target in ["/breaks", "/shorter"] {
        let peer = lab.client.connect();
        lab.client.say(peer, format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        assert!(lab.until(SECOND, |lab| lab.client.state(peer) == State::Closed), "{target}");
    }
    assert_eq!(lab.get("/status").status, 200);
}

/// Few, so that they are soon used up.
const FEW: usize = 16;
const OPTIONS: Options = Options { connections: FEW, ..Options::DEFAULT };

/// Has every file, with its name in it.
struct Everything;

impl Files for Everything {
    type File = Name;

    fn open(&mut self, path: &str) -> Result<Name, OpenError> {
        Ok(Name(path.as_bytes().to_vec()))
    }
}

struct Name(Vec<u8>);

impl File for Name {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn tag(&self) -> u64 {
        0
    }

    fn modified(&self) -> Option<Duration> {
        None
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, ReadError> {
        let count = into.len().min(self.0.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        Ok(count)
    }
}

/// A disk that fails.
struct Faulty;

impl Files for Faulty {
    type File = Fault;

    fn open(&mut self, path: &str) -> Result<Fault, OpenError> {
        match path {
            "/breaks" => Ok(Fault::Breaks),
            "/shorter" => Ok(Fault::Shorter),
            _ => Err(OpenError::Failed),
        }
    }
}

enum Fault {
    Breaks,
    Shorter,
}

impl File for Fault {
    fn size(&self) -> u64 {
        100
    }

    fn tag(&self) -> u64 {
        0
    }

    fn modified(&self) -> Option<Duration> {
        None
    }

    fn read(&mut self, _: &mut [u8]) -> Result<usize, ReadError> {
        match self {
            Self::Breaks => Err(ReadError),
            Self::Shorter => Ok(0),
        }
    }
}
