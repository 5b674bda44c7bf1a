//! Child processes that never outlive us.
//!
//! Each child leads its own process group, which is ended, with all that it has started, when its handle is dropped; and a child that
//! lives long asks the kernel (through util-linux's `setpriv`, where present) to be killed when the thread that started it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{descendants, interrupt};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(10);
/// How long the last words of a program that has ended may take: one that it has left behind can hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A wait took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimitPassed;

impl std::fmt::Display for TimeLimitPassed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the time limit passed")
    }
}

impl std::error::Error for TimeLimitPassed {}

/// A child process that ends, with its process group, when this is dropped.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    ended: bool,
}

impl Guarded {
    /// Starts a command as the leader of a new process group.
    ///
    /// # Errors
    ///
    /// When the program cannot be started; the message names it.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child, ended: false })
    }

    /// Gives access to the child's pipes.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns how the child ended, or `None` while it runs.
    ///
    /// # Errors
    ///
    /// When the operating system cannot tell.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.ended |= status.is_some();
        Ok(status)
    }

    /// Waits for the end of the child, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// When the user interrupts, or, with [`TimeLimitPassed`], when the deadline passes.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            interrupt::check()?;
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                bail!(TimeLimitPassed);
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the process group and what else the child has started, and reaps the child.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        // Errors mean that the processes are gone already.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            descendants::kill(group);
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
///
/// When it cannot be started, is interrupted, or fails: then the message holds the end of its standard error.
pub fn output(command: Command) -> Result<String> {
    let line = describe(&command);
    output_as(&line, command)
}

/// As [`output`], with another description of the command for the message.
///
/// # Errors
///
/// As [`output`].
pub fn output_as(line: &str, command: Command) -> Result<String> {
    let finished = capture(command, None)?;
    if !finished.status.success() {
        bail!("`{line}` failed ({}):\n{}", finished.status, last_lines(&finished.stderr, 12));
    }
    Ok(finished.stdout)
}

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end, however that is, without input; at most until `deadline`, when its process group is killed.
///
/// # Errors
///
/// When it cannot be started or is interrupted, or, with [`TimeLimitPassed`], when the deadline passes.
pub fn capture(mut command: Command, deadline: Option<Instant>) -> Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut guarded = Guarded::spawn(command)?;
    let stdout = drain(guarded.child().stdout.take());
    let stderr = drain(guarded.child().stderr.take());
    let status = guarded.wait(deadline)?;
    Ok(Finished { status, stdout: collect(stdout), stderr: collect(stderr) })
}

/// Runs a command to its end without input, at most until `deadline`; `say` gets each line that it prints, on whichever output.
///
/// # Errors
///
/// As [`capture`].
pub fn stream(
    mut command: Command,
    deadline: Option<Instant>,
    say: impl FnMut(&str) + Send + 'static,
) -> Result<ExitStatus> {
    // One pipe for both, so that the lines keep their order.
    let (reader, writer) = std::io::pipe().context("no pipe can be made")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut guarded = Guarded::spawn(command)?;
    let lines = thread::spawn(move || each_line(reader, say));
    let result = guarded.wait(deadline);
    guarded.end();
    wait_for(&lines);
    result
}

fn each_line(pipe: PipeReader, mut say: impl FnMut(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    // A pipe that breaks ends the output; the exit status tells the rest.
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        say(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
}

fn wait_for(lines: &JoinHandle<()>) {
    let deadline = Instant::now() + LAST_WORDS;
    while !lines.is_finished() && Instant::now() < deadline {
        thread::sleep(POLL);
    }
}

/// Returns the absolute path of a program on `PATH`, or in the folders where administration tools are.
#[must_use]
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| fs::metadata(file).is_ok_and(|data| data.is_file()))
}

/// Returns the command for a long-lived program that must end with the current thread.
#[must_use]
pub fn tied(program: &std::path::Path) -> Command {
    let Some(setpriv) = find("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Returns a command as one would type it: the program by its name, without the folder it was found in.
#[must_use]
pub fn describe(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut words: Vec<String> = variables
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), quote(&value.to_string_lossy())))
        .collect();
    let program = Path::new(command.get_program());
    words.push(program.file_name().unwrap_or_default().to_string_lossy().into_owned());
    words.extend(command.get_args().map(|arg| quote(&arg.to_string_lossy())));
    words.join(" ")
}

/// Returns the last lines of a text.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Returns a size in bytes as people say it.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..999_500 => format!("{} KB", (bytes + 500) / 1_000),
        999_500..999_500_000 => format!("{} MB", (bytes + 500_000) / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Reads a pipe to its end in a thread, so that the child never blocks on it.
#[must_use]
pub fn drain<R: std::io::Read + Send + 'static>(pipe: Option<R>) -> Option<thread::JoinHandle<Vec<u8>>> {
    pipe.map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks ends the output; the exit status tells the rest.
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        })
    })
}

/// Waits for the end of a pipe that [`drain`] reads, and returns its text.
#[must_use]
pub fn collect(reader: Option<thread::JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn output_is_returned_and_failure_quotes_standard_error() {
        let mut echo = Command::new("echo");
        echo.arg("words");
        assert_eq!(output(echo).unwrap(), "words\n");
        let mut bad = Command::new("sh");
        bad.args(["-c", "echo reason >&2; exit 3"]);
        let message = output(bad).unwrap_err().to_string();
        assert!(message.contains("reason") && message.contains('3'), "{message}");
    }

    /// Runs a shell script; returns what it said, and whether it succeeded in time.
    fn streamed(script: &str, limit: Duration) -> (String, Result<bool>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let said = Arc::new(Mutex::new(String::new()));
        let listener = Arc::clone(&said);
        let say = move |line: &str| listener.lock().unwrap().push_str(&format!("{line}|"));
        let status = stream(command, Some(Instant::now() + limit), say);
        (said.lock().unwrap().clone(), status.map(|status| status.success()))
    }

    #[test]
    fn lines_of_both_outputs_come_in_their_order() {
        let (said, result) = streamed("echo a; echo b >&2; echo c; printf d >&2; exit 1", LAST_WORDS);
        assert_eq!((said.as_str(), result.unwrap()), ("a|b|c|d|", false));
    }

    #[test]
    fn who_passes_the_limit_is_ended_and_has_been_heard() {
        let (said, result) = streamed("echo begun; sleep 60", Duration::from_millis(300));
        assert_eq!(said, "begun|");
        assert!(result.unwrap_err().is::<TimeLimitPassed>());
    }

    #[test]
    fn nobody_waits_for_the_words_of_a_process_left_behind() {
        let started = Instant::now();
        let (said, result) = streamed("echo ended; setsid sleep 7 &", Duration::from_secs(60));
        assert_eq!((said.as_str(), result.unwrap()), ("ended|", true));
        assert!(started.elapsed() < Duration::from_secs(6));
    }

    /// Drops the handle of a shell, and waits for the end of the process that its script starts and tells.
    #[track_caller]
    fn ends_with_its_handle(script: &str) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut guarded = Guarded::spawn(command).unwrap();
        let mut line = String::new();
        let stdout = guarded.child().stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        drop(guarded);
        let stat = format!("/proc/{}/stat", line.trim());
        let gone = || fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !gone() {
            assert!(Instant::now() < deadline, "the grandchild still runs");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn dropping_the_handle_ends_the_whole_group() {
        ends_with_its_handle("sleep 60 & echo $!; wait");
    }

    #[test]
    fn dropping_the_handle_ends_also_who_left_the_group() {
        ends_with_its_handle("setsid sleep 60 & echo $!; wait");
        // A grandchild of the shell, which leads a group itself.
        ends_with_its_handle("setsid sh -c 'setsid sleep 60 & echo $!; wait' & wait");
    }

    #[test]
    fn commands_are_described_as_typed() {
        let mut command = Command::new("/some/folder/xl");
        command.args(["create", "a b", "it's"]).env("LANG", "C");
        assert_eq!(describe(&command), r"LANG=C xl create 'a b' 'it'\''s'");
    }
}
