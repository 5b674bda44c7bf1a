//! What a client that does nothing wrong is answered.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{Content, FILES, Lab};
use xen_web_example::{MemoryFiles, Options};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn files_are_served() {
    let mut lab = Lab::new();
    for (target, path, kind) in [
        ("/", "/index.html", "text/html; charset=utf-8"),
        ("/index.html?query", "/index.html", "text/html; charset=utf-8"),
        ("/style.css", "/style.css", "text/css; charset=utf-8"),
        ("/folder/", "/folder/index.html", "text/html; charset=utf-8"),
        ("/folder/a%20b.txt", "/folder/a b.txt", "text/plain; charset=utf-8"),
        ("http://test/large.bin", "/large.bin", "application/octet-stream"),
    ] {
        let response = lab.get(target);
        let content = FILES.iter().find(|(name, _)| *name == path).unwrap().1;
        assert_eq!((response.status, response.field("Content-Type")), (200, Some(kind)), "{target}");
        assert!(response.body == content, "{target}: {} bytes", response.body.len());
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(response.field("Date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}

#[test]
fn a_folder_without_its_slash_is_told_where_it_is() {
    let response = Lab::new().get("/folder?query");
    assert_eq!((response.status, response.field("Location")), (301, Some("/folder/")));
}

#[test]
fn where_there_is_no_first_page_the_figures_are_it() {
    let mut lab = Lab::serving(MemoryFiles::new(&[]), support::fixed(), Options::DEFAULT);
    let response = lab.get("/");
    assert_eq!((response.status, response.field("Location")), (302, Some("/status")));
}

#[test]
fn what_is_not_there_is_answered_with_help() {
    let mut lab = Lab::new();
    let response = lab.get("/%3Cscript%3E/<b>?\"");
    assert_eq!((response.status, response.field("Content-Type")), (404, Some("text/html; charset=utf-8")));
    let text = response.text();
    for place in ["href=/>", "href=/status>", "href=/status.json>", "href=/metrics>", "/%3Cscript%3E/&lt;b&gt;?&quot;"]
    {
        assert!(text.contains(place), "{place} is missing in {text}");
    }
    assert_eq!(lab.get("/folder/index.html/more").status, 404);
    assert_eq!(lab.get("/style.css/").status, 404);
}

#[test]
fn head_tells_what_get_would_send() {
    let mut lab = Lab::new();
    for target in ["/", "/large.bin", "/metrics", "/nothing", "/folder"] {
        let get = lab.get(target);
        let peer = lab.client.connect();
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        lab.client.say(peer, request.as_bytes());
        let head = lab.response_to(peer, SECOND, Content::None).unwrap();
        assert_eq!((head.status, head.field("Content-Type")), (get.status, get.field("Content-Type")), "{target}");
        if target != "/metrics" {
            assert_eq!(head.field("Content-Length"), get.field("Content-Length"), "{target}");
        }
        // The next answer comes right behind it.
        lab.client.say(peer, b"GET /style.css HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(lab.response(peer, SECOND).unwrap().body, b"p { color: teal }", "{target}");
    }
}

#[test]
fn a_file_that_the_client_has_is_not_sent_again() {
    let mut lab = Lab::new();
    let tag = lab.get("/style.css").field("ETag").unwrap().to_owned();
    let mut ask =
        |tags: &str| lab.ask(&format!("GET /style.css HTTP/1.1\r\nHost: test\r\nIf-None-Match: {tags}\r\n\r\n"));
    for tags in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let response = ask(&tags);
        assert_eq!((response.status, response.field("ETag")), (304, Some(tag.as_str())), "{tags}");
        assert_eq!((response.field("Content-Length"), response.body.len()), (None, 0));
    }
    assert_eq!(ask("\"x\"").status, 200);
    assert_ne!(lab.get("/index.html").field("ETag"), Some(tag.as_str()));
}

#[test]
fn requests_in_one_go_are_answered_in_order() {
    let mut lab = Lab::new();
    let peer = lab.client.connect();
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
    let targets = ["/style.css", "/large.bin", "/nothing", "/style.css"];
    lab.client.say(peer, targets.map(request).concat().as_bytes());
    let statuses = targets.map(|_| lab.response(peer, SECOND).unwrap().status);
    assert_eq!(statuses, [200, 200, 404, 200]);
    assert!(lab.client.is_connected(peer));
    assert_eq!(lab.web.counts().accepted, 1);
}

#[test]
fn the_connection_is_closed_where_the_client_asks_for_it() {
    let mut lab = Lab::new();
    for (request, connection) in [
        ("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", "close"),
        ("GET / HTTP/1.0\r\n\r\n", "close"),
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "keep-alive"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive"),
    ] {
        let peer = lab.client.connect();
        lab.client.say(peer, request.as_bytes());
        assert_eq!(lab.response(peer, SECOND).unwrap().field("Connection"), Some(connection));
        let is_closed = lab.until(SECOND, |lab| !lab.client.is_connected(peer));
        assert_eq!(is_closed, connection == "close", "{request}");
    }
}

#[test]
fn a_client_that_has_said_all_is_answered_all_the_same() {
    let mut lab = Lab::new();
    let peer = lab.client.connect();
    lab.client.say(peer, b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    lab.pass(Duration::from_micros(500));
    lab.client.close(peer);
    assert_eq!(lab.response(peer, SECOND).unwrap().body.len(), 1_000_000);
}

#[test]
fn figures_come_as_json() {
    let mut lab = Lab::new();
    lab.get("/style.css");
    lab.get("/nothing");
    lab.pass(10 * SECOND);
    let response = lab.get("/status.json");
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("application/json")));
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    let json: Value = serde_json::from_slice(&response.body).unwrap();
    // This request counts too.
    assert_eq!(
        (&json["now"]["requests"], &json["now"]["ok"], &json["now"]["refused"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!((&json["now"]["memory"], &json["of"]["memory"]), (&(5 << 20).into(), &(16 << 20).into()));
    assert!((10_000..10_100).contains(&json["uptime_ms"].as_u64().unwrap()), "{}", json["uptime_ms"]);
    let minute = &json["minute"];
    let sum = |key: &str| minute[key].as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).sum::<u64>();
    assert_eq!((minute["requests"].as_array().unwrap().len(), sum("requests")), (10, 2));
    let packets = json["now"]["packets_in"].as_u64().unwrap();
    assert!(sum("packets_in") <= packets && sum("packets_in") > 5, "{} of {packets}", sum("packets_in"));
    assert_eq!((minute["grants"][0].as_u64(), minute["grants"][9].as_u64()), (Some(513), Some(513)));
}

#[test]
fn figures_move() {
    let mut lab = Lab::new();
    let mut last = 0;
    for _ in 0..70 {
        lab.get("/style.css");
        let json: Value = serde_json::from_slice(&lab.get("/status.json").body).unwrap();
        let now = json["now"]["packets_out"].as_u64().unwrap();
        assert!(now > last);
        last = now;
        lab.pass(SECOND);
    }
    let json: Value = serde_json::from_slice(&lab.get("/status.json").body).unwrap();
    let requests = json["minute"]["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 60);
    assert!(requests.iter().all(|value| *value == 2), "{requests:?}");
}

#[test]
fn figures_come_for_prometheus() {
    let mut lab = Lab::new();
    lab.pass(2 * SECOND);
    let response = lab.get("/metrics");
    assert_eq!(response.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = response.text();
    for line in [
        "# TYPE domu_uptime_seconds gauge",
        "domu_uptime_seconds 2.0",
        "# TYPE domu_http_responses_total counter",
        "domu_http_responses_total{code=\"2xx\"} 1",
        "domu_http_responses_total{code=\"5xx\"} 0",
        "domu_http_requests_total 1",
        "# TYPE domu_http_connections gauge",
        "domu_http_connections 1",
        "domu_grants_in_use 513",
        "domu_memory_bytes{state=\"used\"} 5242880",
        "domu_memory_bytes{state=\"free\"} 11534336",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing in {text}");
    }
    for line in text.lines() {
        let is_sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(line.starts_with("# ") || is_sample, "{line}");
    }
    let mut kinds: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let all = kinds.len();
    kinds.dedup();
    assert_eq!(kinds.len(), all);
}

#[test]
fn the_page_is_complete_without_its_script() {
    let mut lab = Lab::new();
    lab.pass(5 * SECOND);
    let response = lab.get("/status");
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(response.field("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
    let text = response.text();
    for part in ["00:00:05", "data-n=memory_free data-bytes>11.0 MiB<", "data-r=grants>513<", "data-l=requests d=\"M"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    // Nothing comes from elsewhere.
    for part in ["src=", "@import", "url(", "https:"] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
}
