//! The C side: a process over the macros of Xen's `io/ring.h`.

use crate::{Answer, Call, End, Start};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Compiles a program of this package's folder `c` with the options, and returns where it is.
///
/// # Errors
///
/// When there is no C compiler, or it complains about anything.
pub fn compile(source: &str, headers: &Path, options: &[&str], program: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c").join(source);
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-isystem"]).arg(headers).args(options);
    let output = command.arg("-o").arg(program).arg(source).output();
    let output = output.with_context(|| format!("cannot run the C compiler {}", compiler.display()))?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Which end of the ring a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends requests.
    Front,
    /// Sends responses.
    Back,
}

/// An end of a ring in a process of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct CEnd {
    role: Role,
    sizes: Sizes,
    child: Child,
    commands: Option<ChildStdin>,
    answers: ChildStdout,
}

/// How many bytes a message has.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A request.
    pub request: usize,
    /// A response.
    pub response: usize,
}

impl CEnd {
    /// Starts the compiled `end.c` for a protocol, with so many bytes of ring memory.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub fn spawn(program: &PathBuf, protocol: &str, sizes: Sizes, memory: usize, role: Role) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg(protocol).arg(memory.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().context("the process has no output")?;
        Ok(Self { role, sizes, child, commands, answers })
    }

    /// Hands the memory over, gives one command, and takes the memory back.
    fn command(&mut self, memory: &mut [u8], [front, back]: [char; 2], number: u32, payload: &[u8]) -> u32 {
        let letter = if self.role == Role::Front { front } else { back };
        self.send(&[bytes('m', 0).as_slice(), memory, &bytes(letter, number), payload].concat());
        self.word();
        self.receive(memory);
        self.word()
    }

    /// Gives a command that answers without a message.
    fn ask(&mut self, memory: &mut [u8], letters: [char; 2], number: u32, payload: &[u8]) -> u32 {
        let answer = self.command(memory, letters, number, payload);
        self.receive(memory);
        answer
    }

    fn take(&mut self, memory: &mut [u8]) -> Option<Vec<u8>> {
        let taken = self.command(memory, ['u', 't'], 0, &[]) != 0;
        let size = if self.role == Role::Front { self.sizes.response } else { self.sizes.request };
        let message = taken.then(|| {
            let mut message = vec![0; size];
            self.receive(&mut message);
            message
        });
        self.receive(memory);
        message
    }

    fn sleep(&mut self, memory: &mut [u8], more: u32) -> Option<Vec<u8>> {
        match self.ask(memory, ['r', 's'], more, &[]) {
            0 => None,
            _ => self.take(memory),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let pipe = self.commands.as_mut().expect("the pipe is closed by drop only");
        pipe.write_all(bytes).expect("the C end takes commands");
    }

    fn receive(&mut self, bytes: &mut [u8]) {
        self.answers.read_exact(bytes).expect("the C end answers");
    }

    fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        self.receive(&mut word);
        u32::from_ne_bytes(word)
    }
}

impl End for CEnd {
    fn start(&mut self, memory: &mut [u8], start: Start) {
        match start {
            Start::Init => self.ask(memory, ['i', 'b'], 0, &[]),
            Start::Attach(index) => self.ask(memory, ['f', 'b'], index, &[]),
        };
    }

    fn call(&mut self, memory: &mut [u8], call: &Call) -> Answer {
        match call {
            Call::Put(message) => Answer::Put(self.ask(memory, ['p', 'q'], 0, message) != 0),
            Call::Publish => Answer::Publish(self.ask(memory, ['n', 'o'], 0, &[]) != 0),
            Call::Take => Answer::Take(self.take(memory)),
            Call::TakeOrSleep(more) => {
                let message = self.take(memory).or_else(|| self.sleep(memory, *more));
                Answer::Take(message)
            }
        }
    }
}

impl Drop for CEnd {
    fn drop(&mut self) {
        self.commands = None;
        // Its input has ended, so it ends; there is nobody to tell if it does not do so well.
        let _ = self.child.wait();
    }
}

fn bytes(letter: char, number: u32) -> [u8; 8] {
    let mut command = [0; 8];
    command[..4].copy_from_slice(&u32::from(letter).to_ne_bytes());
    command[4..].copy_from_slice(&number.to_ne_bytes());
    command
}
