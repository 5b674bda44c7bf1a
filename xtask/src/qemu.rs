//! A QEMU process whose ports carry everything.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::interrupt;
use crate::packages::{self, QEMU};
use crate::process::{self, Guarded};
use crate::progress::Progress;

/// How the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By translation; works everywhere.
    Tcg,
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// A machine to start.
#[derive(Debug)]
pub struct Machine<'a> {
    /// How instructions are executed.
    pub accelerator: Accelerator,
    /// Memory in mebibytes.
    pub memory: u32,
    /// The number of processors.
    pub cpus: u32,
    /// Makes virtual time count instructions, for figures that repeat exactly (TCG only).
    pub icount: bool,
    /// The multiboot kernel (Xen) and its command line.
    pub kernel: (&'a Path, String),
    /// Multiboot modules with their command lines.
    pub modules: Vec<(PathBuf, String)>,
    /// Where the serial port is written; the stream is then a virtio port, and there is another one for orders, else it is the serial
    /// port itself.
    pub com1_log: Option<&'a Path>,
    /// Words for more devices.
    pub devices: Vec<String>,
    /// Where QEMU's own messages go.
    pub messages: &'a Path,
}

/// What a running machine did.
#[derive(Debug)]
pub enum Activity {
    /// The stream port wrote bytes.
    Bytes(Vec<u8>),
    /// Nothing happened for the given time.
    Quiet,
    /// The process ended by itself.
    Ended,
}

/// A running machine; dropping it ends it.
#[derive(Debug)]
pub struct Qemu {
    process: Guarded,
    stream: Receiver<Vec<u8>>,
    input: Option<ChildStdin>,
    orders: UnixStream,
}

impl Qemu {
    /// Starts a machine. The thread that calls this must outlive the machine.
    ///
    /// # Errors
    ///
    /// When there is no QEMU or it cannot be started.
    pub fn start(machine: &Machine<'_>, program: &Program) -> Result<Self> {
        let mut command = program.command();
        let (orders, theirs) = UnixStream::pair()?;
        // QEMU inherits it.
        fcntl_setfd(&theirs, FdFlags::empty())?;
        command.args(arguments(machine, theirs.as_raw_fd()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(machine.messages).context("cannot write QEMU's log")?);
        let mut process = Guarded::spawn(command)?;
        let input = process.child().stdin.take();
        let output = process.child().stdout.take().context("QEMU has no output")?;
        Ok(Self { process, stream: read_in_background(output), input, orders })
    }

    /// Waits for bytes, at most for `patience`.
    ///
    /// # Errors
    ///
    /// When the user interrupts.
    pub fn next(&mut self, patience: Duration) -> Result<Activity> {
        interrupt::check()?;
        Ok(match self.stream.recv_timeout(patience) {
            Ok(bytes) => Activity::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Activity::Quiet,
            Err(RecvTimeoutError::Disconnected) => Activity::Ended,
        })
    }

    /// Takes the writing end of the stream port; it is closed when the machine ends.
    pub const fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// Writes a line to the port of orders, where there is one; a machine that is gone takes none.
    pub fn order(&mut self, line: &str) {
        let _ = self.orders.write_all(format!("{line}\n").as_bytes());
    }

    /// Says why a machine ended without being asked to.
    pub fn why_ended(&mut self) -> String {
        // The stream is closed a little before the process is gone.
        let status = self.process.wait(Some(Instant::now() + Duration::from_secs(1)));
        match status {
            Ok(status) if status.signal().is_some() => format!("QEMU was killed from outside ({status})"),
            Ok(status) if !status.success() => format!("QEMU failed ({status})"),
            // Xen was told not to reboot, so a machine that resets is one that triple-faulted.
            _ => "the machine reset itself (triple fault)".into(),
        }
    }

    /// Ends the machine.
    pub fn end(&mut self) {
        self.process.end();
    }
}

/// The executable's name.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// A QEMU executable: the installed one, or the one unpacked from packages.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    /// Libraries and firmware of an unpacked QEMU.
    unpacked: Option<Unpacked>,
}

#[derive(Debug, Clone)]
struct Unpacked {
    libraries: String,
    modules: Option<PathBuf>,
    firmware: Vec<PathBuf>,
}

impl Program {
    /// Finds the installed QEMU, or unpacks one.
    ///
    /// # Errors
    ///
    /// When none is installed and the packages cannot be fetched.
    pub fn find(progress: &Progress) -> Result<Self> {
        match process::find(PROGRAM) {
            Some(path) => Ok(Self { path, unpacked: None }),
            None => Self::unpack(progress),
        }
    }

    /// Returns the executable.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what QEMU says its version is, such as `7.2.22`.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub fn version(&self) -> Result<String> {
        let mut command = self.command();
        command.arg("--version");
        let text = process::output(command)?;
        let mut words = text.split_whitespace().skip_while(|word| *word != "version");
        Ok(words.nth(1).unwrap_or("of unknown version").to_owned())
    }

    fn unpack(progress: &Progress) -> Result<Self> {
        let tree = packages::ensure(&QEMU, progress).context("QEMU is not installed")?;
        let path = tree.elf(PROGRAM)?;
        let folders = ["usr/share/qemu", "usr/share/seabios"];
        let unpacked = Unpacked {
            libraries: packages::library_path(&tree, PROGRAM)?,
            modules: tree.path("usr/lib/x86_64-linux-gnu/qemu"),
            firmware: folders.iter().flat_map(|folder| tree.paths(folder)).collect(),
        };
        Ok(Self { path, unpacked: Some(unpacked) })
    }

    fn command(&self) -> Command {
        let Some(unpacked) = &self.unpacked else {
            return process::tied(&self.path);
        };
        // The libraries are named after setpriv has started, which must use the machine's own.
        let mut command = process::tied(Path::new("/usr/bin/env"));
        command.arg(format!("LD_LIBRARY_PATH={}", unpacked.libraries));
        if let Some(modules) = &unpacked.modules {
            command.arg(format!("QEMU_MODULE_DIR={}", modules.display()));
        }
        command.arg(&self.path);
        for folder in &unpacked.firmware {
            command.arg("-L").arg(folder);
        }
        command
    }
}

/// What a guest is sent at the end of its input: Ctrl-D, as from a terminal.
pub const END_OF_INPUT: &[u8] = b"\x04";

/// Sends bytes to the machine's stream port in a thread: the port takes them at its own pace.
pub fn send_in_background(mut port: ChildStdin, mut source: impl std::io::Read + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            if port.write_all(&buffer[..count]).and_then(|()| port.flush()).is_err() {
                return;
            }
        }
        let _ = port.write_all(END_OF_INPUT);
        // Closing the pipe would make QEMU see a hang-up before it has read the last bytes.
        thread::sleep(Duration::MAX);
    });
}

fn arguments(machine: &Machine<'_>, orders: i32) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |text: &str| words.extend(text.split_whitespace().map(str::to_owned));
    add("-nodefaults -no-user-config -display none -vga none -net none -monitor none -no-reboot");
    match machine.accelerator {
        Accelerator::Kvm => add("-accel kvm -cpu host"),
        // TCG counts no instructions with several threads, and faults wrongly under SMAP.
        Accelerator::Tcg if machine.icount => add("-accel tcg -icount shift=0,sleep=off -cpu max,-smap"),
        Accelerator::Tcg if machine.cpus > 1 => add("-accel tcg,thread=multi -cpu max,-smap"),
        Accelerator::Tcg => add("-accel tcg,thread=single -cpu max,-smap"),
    }
    add(&format!("-m {} -smp {}", machine.memory, machine.cpus));
    add("-chardev stdio,id=stream,signal=off");
    words.extend(ports(machine.com1_log, orders));
    words.extend(machine.devices.iter().cloned());
    words.extend(["-kernel".into(), machine.kernel.0.display().to_string()]);
    words.extend(["-append".into(), machine.kernel.1.clone()]);
    if !machine.modules.is_empty() {
        words.extend(["-initrd".into(), modules(&machine.modules)]);
    }
    words
}

/// Connects the stream, which QEMU's own input and output carry, and the orders, which a socket carries.
fn ports(com1_log: Option<&Path>, orders: i32) -> Vec<String> {
    let Some(log) = com1_log else {
        return ["-serial", "chardev:stream"].map(str::to_owned).to_vec();
    };
    let serial = format!("file:{}", comma(&log.display().to_string()));
    // A second UART would cost a trap for each byte; a virtio port takes thousands at once.
    let (stream, orders) = ("virtserialport,chardev=stream", format!("socket,id=orders,fd={orders}"));
    let mut words = vec!["-serial", &serial, "-device", "virtio-serial-pci", "-device", stream];
    words.extend(["-chardev", &orders, "-device", "virtserialport,chardev=orders"]);
    words.into_iter().map(str::to_owned).collect()
}

/// Returns multiboot modules as QEMU wants them: separated by commas, a comma inside doubled.
fn modules(modules: &[(PathBuf, String)]) -> String {
    let one = |(path, line): &(PathBuf, String)| comma(format!("{} {line}", path.display()).trim_end());
    modules.iter().map(one).collect::<Vec<_>>().join(",")
}

fn comma(text: &str) -> String {
    text.replace(',', ",,")
}

fn read_in_background(mut output: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_module_lines_are_doubled() {
        let list = [("/a,b".into(), "x=1,2".to_owned()), ("/c".into(), String::new())];
        assert_eq!(modules(&list), "/a,,b x=1,,2,/c");
    }
}
