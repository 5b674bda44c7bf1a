//! The example `web`: what it serves from its disk and of itself, to this machine, to its browser and to domain 0, before and after a
//! suspend.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use real_xen_tests::browser::Browser;
use real_xen_tests::{expect, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome};
use xtask::fetch;
use xtask::network::{Forward, Network};

/// The disk, and what is on it.
const DISK: &str = include_str!("../../../examples/web/guest/web.sh");
/// Clients, and what each asks for.
const CLIENTS: usize = 4;
const REQUESTS: usize = 250;
const LIMIT: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// What moves on the page: how long the guest is up, its hypercalls, the lines of the charts.
const FIGURES: &str = "[document.getElementById('uptime').textContent, document.querySelector('[data-n=hypercalls]').textContent, \
    ...[...document.querySelectorAll('[data-l]')].map(line => line.getAttribute('d'))]";

static RUN: LazyLock<Run> = LazyLock::new(run);

/// What came of it all.
struct Run {
    outcomes: Vec<Outcome>,
    /// By the names that were asked for.
    pages: Vec<(&'static str, String)>,
    /// What the browser saw.
    seen: anyhow::Result<Seen>,
    /// Of the many requests: how many were answered as they should be.
    answered: usize,
}

/// What a browser saw.
struct Seen {
    headline: String,
    has_picture: bool,
    /// Figures and lines of the charts, as shown first and later.
    before: String,
    after: String,
}

fn run() -> Run {
    let forward = Forward::to_tcp(80).expect("a port is free");
    // Before there is a guest that waits: it may have to be fetched first.
    let browser = start_browser("web");
    let asker = thread::spawn(move || ask(forward.host, browser));
    let network = Some(Network { forwards: vec![forward], ..Network::default() });
    let web = GuestSpec { network, ..guest("web", "") };
    let scenario = format!("{DISK}\n{}", include_str!("../scenarios/web.sh"));
    let smallest = GuestSpec { memory: 4, network: Some(Network::default()), ..guest("web", "") };
    let guests = [
        in_scenario("web", web, &scenario),
        in_scenario("smallest", smallest, include_str!("../scenarios/web-smallest.sh")),
    ];
    let outcomes = boot::full(&guests).expect("the boot can be tried");
    let (pages, seen, answered) = asker.join().expect("it does not panic");
    Run { outcomes, pages, seen, answered }
}

fn ask(port: u16, browser: anyhow::Result<Browser>) -> (Vec<(&'static str, String)>, anyhow::Result<Seen>, usize) {
    // The disk comes when the guest has begun.
    let first = fetch::good_page_within(port, "/", LIMIT).ok().map(|page| ("/", page));
    let fetch = |path| Some((path, fetch::page_within(port, path, LIMIT).ok()?));
    let others = ["/style.css", "/status", "/status.json", "/nothing"].into_iter().map_while(fetch);
    let pages = first.into_iter().chain(others).collect();
    let seen = browser.and_then(|browser| browse(port, browser, "web"));
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || ask_often(port).unwrap_or(0))).collect();
    (pages, seen, clients.into_iter().map(|client| client.join().expect("it does not panic")).sum())
}

fn start_browser(name: &str) -> anyhow::Result<Browser> {
    Browser::start(&folder(name))
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{name}"))
}

/// Looks at the first page, follows its link to the figures, waits until they move, and takes a picture.
fn browse(port: u16, mut browser: Browser, name: &str) -> anyhow::Result<Seen> {
    browser.open(&format!("http://127.0.0.1:{port}/"), 1200, 860)?;
    let headline = browser.value("document.querySelector('h1').textContent")?.to_string();
    let has_picture = browser.value("document.querySelector('img').naturalWidth > 0")? == true;
    browser.value("document.querySelector('a[href=\"/status\"]').click()")?;
    let live = "location.pathname === '/status' && document.readyState === 'complete' && document.querySelector('#state.live') !== null";
    browser.wait_until(live, PATIENCE)?;
    let before = browser.value(FIGURES)?.to_string();
    // Long enough for a chart that has something to show.
    thread::sleep(Duration::from_secs(8));
    browser.wait_until(live, PATIENCE)?;
    let after = browser.value(FIGURES)?.to_string();
    let picture = folder(name).join("status.png");
    std::fs::write(&picture, browser.picture()?)?;
    println!("what the browser shows: {}", picture.display());
    Ok(Seen { headline, has_picture, before, after })
}

/// Asks again and again on one connection, and answers how often the answer was the file.
fn ask_often(port: u16) -> Result<usize> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut good = 0;
    for _ in 0..REQUESTS {
        stream.write_all(b"GET /style.css HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let (head, body) = answer(&mut stream)?;
        good += usize::from(head.starts_with("HTTP/1.1 200 ") && is_file(&body, "style.css"));
    }
    Ok(good)
}

fn answer(stream: &mut TcpStream) -> Result<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let mut body = vec![0; length.ok_or(ErrorKind::InvalidData)?];
    stream.read_exact(&mut body)?;
    Ok((head, String::from_utf8(body).map_err(|_| Error::from(ErrorKind::InvalidData))?))
}

/// Whether a text is what the scenario has written into this file.
fn is_file(text: &str, name: &str) -> bool {
    DISK.contains(&format!("/{name} <<'END'\n{text}END\n"))
}

fn page(path: &str) -> (&'static str, &'static str) {
    let page = RUN.pages.iter().find(|(name, _)| *name == path).unwrap_or_else(|| panic!("{path} was not answered"));
    page.1.split_once("\r\n\r\n").expect("there is a head")
}

#[test]
fn files_of_the_disk_are_served() {
    for (path, name) in [("/", "index.html"), ("/style.css", "style.css")] {
        let (head, body) = page(path);
        assert!(head.starts_with("HTTP/1.1 200 ") && is_file(body, name), "{path}: {head}\n{body}");
    }
    assert!(page("/nothing").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_browser_shows_the_disks_page_and_figures_that_move() {
    let seen = RUN.seen.as_ref().unwrap_or_else(|error| panic!("{error:#}"));
    assert!(seen.headline.contains("This page is a file") && seen.has_picture, "{}", seen.headline);
    let parts = |text: &str| serde_json::from_str::<Vec<String>>(text).expect("it is a list");
    let (before, after) = (parts(&seen.before), parts(&seen.after));
    assert!(before[0] != after[0] && before[1] != after[1] && before[2..] != after[2..], "{before:?}\n{after:?}");
    assert!(after.len() > 4, "there are charts: {after:?}");
}

#[test]
fn figures_are_those_of_the_guest() {
    assert!(page("/status").1.contains("of 16.0 MiB"));
    let json = page("/status.json").1;
    let figure = |key: &str| -> u64 {
        let rest = json.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key} in {json}")).1;
        rest.split([',', '}']).next().and_then(|number| number.parse().ok()).expect("it is a number")
    };
    // What the page shows of the interface, of grants and of hypercalls.
    for (key, least, most) in
        [("packets_in", 10, 1000), ("hypercalls", 100, 100_000), ("memory_free", 8 << 20, 16 << 20)]
    {
        assert!((least..most).contains(&figure(key)), "{key}: {}", figure(key));
    }
}

#[test]
fn a_thousand_requests_are_answered_and_a_suspend_is_survived() {
    let outcome = outcome_of(&RUN.outcomes, "web");
    let scenario = succeeded(outcome);
    assert_eq!(RUN.answered, CLIENTS * REQUESTS);
    assert_eq!((scenario.value("failed"), scenario.value("cut")), (Some("0"), Some("0")));
    expect(outcome, &Ending::Exited(0), &["ready: port 80", "resumed", " requests on "]);
}

/// With less, xl does not start it.
#[test]
fn the_least_memory_is_enough() {
    let outcome = outcome_of(&RUN.outcomes, "smallest");
    assert_eq!(succeeded(outcome).value("rounds"), Some("10"));
    expect(outcome, &Ending::Exited(0), &[]);
}

#[test]
fn it_has_less_than_700_kb() {
    let file = xtask::strip::beside(&guest("web", "").elf).expect("the guest is an ELF file");
    let size = std::fs::metadata(file).expect("it was written").len();
    println!("web: {size} bytes stripped");
    assert!(size <= 700_000, "{size} bytes");
}

/// A page that looks live and whose figures stand still is told from one that moves.
#[test]
fn figures_that_stand_still_are_seen_to() {
    const PAGE: &str = "<h1>Still</h1><img><p id=state class=live><p id=uptime>1<p data-n=hypercalls>2<svg><path data-l=a d=M0></svg>\
        <a href=/status>figures</a>";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{PAGE}",
                PAGE.len()
            );
        }
    });
    let seen = start_browser("still").and_then(|browser| browse(port, browser, "still")).expect("there is a page");
    assert_eq!((seen.headline.as_str(), seen.has_picture), ("\"Still\"", false));
    assert_eq!(seen.before, seen.after);
}
