//! A C compiler for one architecture, over one view of the headers.

use crate::headers::Found;
use crate::{Architecture, View, headers};
use anyhow::{Context, Result};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Output, Stdio};

/// A C compiler for one architecture.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// What it compiles for.
    pub architecture: Architecture,
    program: PathBuf,
    headers: PathBuf,
}

impl Compiler {
    /// Finds the compiler and the headers: those of the distribution, fetched where they are not there.
    ///
    /// The compiler of the other architecture is a real one. The host's with some macros changed would agree with
    /// whatever the host does.
    ///
    /// # Errors
    ///
    /// When a package cannot be fetched, or this machine is neither x86-64 nor ARM64.
    pub fn find(architecture: Architecture) -> Result<Self> {
        static FOUND: [Found; 2] = [const { Found::new() }; 2];
        let program = headers::once(&FOUND[architecture as usize], || program(architecture))?;
        Ok(Self { architecture, program, headers: headers::folder()? })
    }

    /// The folder that holds `xen/xen.h`.
    #[must_use]
    pub const fn headers(&self) -> &PathBuf {
        &self.headers
    }

    /// Compiles a program that may use every covered header; gives the assembly, or the compiler's complaints.
    ///
    /// # Errors
    ///
    /// When the compiler cannot be run.
    pub fn compile(&self, view: View, program: &str) -> Result<Result<String, String>> {
        let output = self.run(view, &["-S", "-O1"], program)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
    }

    /// Gives the covered headers as the preprocessor leaves them, with all its definitions and with line markers.
    ///
    /// # Errors
    ///
    /// When the compiler cannot be run or does not accept the headers.
    pub fn preprocess(&self, view: View) -> Result<String> {
        let output = self.run(view, &["-E", "-dD"], "")?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "the preprocessor rejects Xen's headers:\n{complaints}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn run(&self, view: View, options: &[&str], program: &str) -> Result<Output> {
        let mut command = Command::new(&self.program);
        // With gnu89 a flexible array member is an array of zero elements, whose size can be asked for.
        command.args(["-xc", "-std=gnu89", "-ffreestanding", "-fmax-errors=0", "-fno-diagnostics-color"]);
        command.arg("-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__");
        if view == View::Tools {
            command.arg("-D__XEN_TOOLS__");
        }
        command.arg("-I").arg(&self.headers).args(options).args(["-o", "-", "-"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        let input = child.stdin.take().context("the compiler has no input")?;
        feed(input, &self.source(program))?;
        Ok(child.wait_with_output()?)
    }

    fn source(&self, program: &str) -> String {
        let includes: String =
            headers::covered(self.architecture).map(|path| format!("#include <xen/{path}>\n")).collect();
        format!("{INTEGERS}{includes}{program}")
    }
}

/// The integer types of the headers, without any header of a compiler's or a C library's.
const INTEGERS: &str = "
typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
";

/// Writes the program and closes the pipe; a compiler that stops reading says why in its complaints.
fn feed(mut input: ChildStdin, text: &str) -> Result<()> {
    match input.write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn program(architecture: Architecture) -> Result<PathBuf> {
    let (host, variable) = match architecture {
        Architecture::X86 => (cfg!(target_arch = "x86_64"), "X86_64_CC"),
        Architecture::Arm => (cfg!(target_arch = "aarch64"), "AARCH64_CC"),
    };
    match (std::env::var_os(variable), architecture) {
        (Some(program), _) => Ok(program.into()),
        (None, _) if host => Ok(std::env::var_os("CC").unwrap_or_else(|| "cc".into()).into()),
        (None, Architecture::Arm) => xtask::aarch64_compiler().context("no ARM64 compiler; AARCH64_CC can name one"),
        (None, Architecture::X86) => {
            anyhow::bail!("this is not an x86-64 machine: X86_64_CC must name a cross compiler")
        }
    }
}
