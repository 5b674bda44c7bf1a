//! A browser without a window, driven as its developer tools drive it: by JSON on two pipes.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _, pipe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use xtask::packages;
use xtask::process::Guarded;

/// What keeps it from looking for others than the page's host, and from needing what only desktops have.
const OPTIONS: [&str; 11] = [
    "--headless",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];
/// The shell gives it the pipes as the descriptors that it expects.
const DESCRIPTORS: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>\"$BROWSER_LOG\"";
const PAUSE: Duration = Duration::from_millis(200);
/// How long it may take with an answer, on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

/// A browser with one page; it ends when this is dropped.
pub struct Browser {
    _process: Guarded,
    orders: PipeWriter,
    answers: Receiver<Vec<u8>>,
    session: Option<String>,
    number: u64,
}

impl Browser {
    /// Starts it. `folder` is for what it writes.
    ///
    /// # Errors
    ///
    /// When there is none, or it does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let browser = packages::browser(folder)?;
        let mut command = Command::new("sh");
        command.args(["-c", DESCRIPTORS]).arg(browser.get_program()).args(OPTIONS);
        command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
        command.envs(browser.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("BROWSER_LOG", folder.join("log"));
        let ((theirs, orders), (answers, ours)) = (pipe()?, pipe()?);
        command.stdin(Stdio::from(theirs)).stdout(Stdio::from(ours));
        let process = Guarded::spawn(command)?;
        let mut browser =
            Self { _process: process, orders, answers: read_in_background(answers), session: None, number: 0 };
        browser.attach()?;
        Ok(browser)
    }

    /// Opens a page, so large.
    ///
    /// # Errors
    ///
    /// When nobody serves it.
    pub fn open(&mut self, address: &str, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", &size)?;
        let answer = self.ask("Page.navigate", &json!({"url": address}))?;
        if let Some(error) = answer["errorText"].as_str() {
            bail!("{address}: {error}");
        }
        // The page before it may still be there.
        let is_there = "location.href !== 'about:blank' && document.readyState === 'complete'";
        self.wait_until(is_there, Duration::from_secs(60))
    }

    /// Returns the value of an expression in the page.
    ///
    /// # Errors
    ///
    /// When it fails there.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let wanted = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.ask("Runtime.evaluate", &wanted)?;
        match answer.get("exceptionDetails") {
            Some(details) => bail!("{expression}: {details}"),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true in the page, which may be another one meanwhile.
    ///
    /// # Errors
    ///
    /// When it never is.
    pub fn wait_until(&mut self, expression: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            match self.value(expression) {
                Ok(Value::Bool(true)) => return Ok(()),
                last if Instant::now() > deadline => {
                    bail!("{expression} was not true in {} s: {last:?}", limit.as_secs());
                }
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// Returns what the page looks like, as PNG.
    ///
    /// # Errors
    ///
    /// When the browser cannot tell.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let answer = self.ask("Page.captureScreenshot", &json!({"format": "png"}))?;
        Ok(BASE64_STANDARD.decode(answer["data"].as_str().context("there is no picture")?)?)
    }

    fn attach(&mut self) -> Result<()> {
        let page = self.ask("Target.createTarget", &json!({"url": "about:blank"}))?;
        let session = self.ask("Target.attachToTarget", &json!({"targetId": page["targetId"], "flatten": true}))?;
        self.session = Some(session["sessionId"].as_str().context("the browser has no session")?.to_owned());
        Ok(())
    }

    /// Sends an order and returns its answer; events between are of no interest.
    fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.number += 1;
        let mut order = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        self.orders.write_all(format!("{order}\0").as_bytes())?;
        loop {
            let mut answer = self.next()?;
            if answer["id"] != self.number {
                continue;
            }
            match answer.get("error") {
                Some(error) => bail!("{method}: {error}"),
                None => return Ok(answer["result"].take()),
            }
        }
    }

    fn next(&self) -> Result<Value> {
        let text = self.answers.recv_timeout(ANSWER).context("the browser has ended, or hangs")?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// Messages, each of which ends with a zero.
fn read_in_background(answers: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // At the end of the browser, or where nobody listens any more.
        let _ = BufReader::new(answers).split(0).map_while(Result::ok).try_for_each(|message| sender.send(message));
    });
    receiver
}
