//! See `cargo xtask --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use xtask::cli::{Cli, Command};
use xtask::interrupt::{self, Interrupted};
use xtask::{bench, check, coverage, doc, doctor, mutants, new, run, soak};

/// The exit status for failures of our own, and for usage errors.
const FAILURE: u8 = 2;
/// The exit status after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::from_words(std::env::args_os()).unwrap_or_else(|error| error.exit());
    interrupt::install();
    let result = match &cli.command {
        Command::Run(options) => run::run(options),
        Command::Test(options) => check::run(options),
        Command::Mutants(options) => mutants::run(options),
        Command::Coverage(options) => coverage::run(options),
        Command::Soak(options) => soak::run(options),
        Command::Bench(options) => bench::run(options),
        Command::New(options) => new::run(options),
        Command::Doc(options) => doc::run(options),
        Command::Doctor => doctor::run(),
    };
    ExitCode::from(result.unwrap_or_else(|error| explain(&error)))
}

fn explain(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() {
        eprintln!("\n  interrupted; nothing is left running");
        return INTERRUPTED;
    }
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    eprintln!("error: {}", causes.join("\n  because: "));
    FAILURE
}
