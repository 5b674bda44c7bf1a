//! The command line.

mod bench;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use self::bench::BENCH_HELP;
pub use self::bench::{Bench, BenchBlock, BenchNet, Benchmark, Contestant, Terms};
use crate::mutants::Share;
use crate::network::Forward;
use crate::spelling;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Runs guests on real Xen and checks the workspace.",
    after_help = "Nothing is installed and no root is needed: Xen, Linux and, where missing, QEMU come from the \
                  distribution's packages, which the first use downloads and unpacks under target/domu."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads a command line, whose first word is the program.
    ///
    /// # Errors
    ///
    /// When it is wrong, or asks for help.
    pub fn from_words(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Self, Error> {
        Self::try_parse_from(words).map_err(with_suggestion)
    }
}

/// Names the subcommand that was meant: clap itself finds no swapped letters in short words.
fn with_suggestion(mut error: Error) -> Error {
    let known = error.get(ContextKind::SuggestedSubcommand).is_some();
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let cli = Cli::command();
    let similar = spelling::similar(word, cli.get_subcommands().map(clap::Command::get_name)).map(str::to_owned);
    if let (ErrorKind::InvalidSubcommand, false, Some(name)) = (error.kind(), known, similar) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![name]));
    }
    error
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boots a guest on Xen and shows its console
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Makes a unikernel of your own, in a folder outside of this checkout
    #[command(after_help = NEW_HELP)]
    New(New),
    /// Checks everything: lints, documentation, tests, models, hostile storms, Miri, real Xen, coverage, mutants
    #[command(after_help = TEST_HELP)]
    Test(Test),
    /// Takes each guard of the code away in turn and demands that a test notices
    #[command(after_help = MUTANTS_HELP)]
    Mutants(Mutants),
    /// Tells which lines of the code that reads what a peer wrote no test runs, and demands that they are few
    #[command(after_help = COVERAGE_HELP)]
    Coverage(Coverage),
    /// Runs the random tests with fresh seeds, round after round, until something is found or the time is over
    #[command(after_help = SOAK_HELP)]
    Soak(Soak),
    /// Measures the SDK: beside Linux on real Xen, and its rings beside Xen's macros; tables, CSV, and a page with pictures
    #[command(after_help = BENCH_HELP)]
    Bench(Bench),
    /// Builds the pages of the API and the book, looks at all links, and says where to begin reading
    #[command(after_help = DOC_HELP)]
    Doc(Doc),
    /// Tells what this machine lacks, and how to get it
    Doctor,
}

const RUN_HELP: &str = "\
Without a name, the example `web` is started with a disk, a network and a port of this machine; where, and how long each step of the boot \
took, is shown when it is up. The guest's console is standard output, all else is on standard error; what is typed (or piped in) goes to \
the guest's console. Ctrl-C asks the guest to end, as `xl shutdown` does (with --direct it ends it at once).

A scenario is a shell script that runs in domain 0 while the guest runs, with `$name` for xl and functions to wait for \
lines of the guest's console, to use its part of xenstore, to save and restore it, for disks and networks: `library.sh`, \
`disks.sh` and `networks.sh` in xtask/src/dom0 describe them. \
Its output is shown among the steps. When it fails, the guest is destroyed and its commands are shown.

A network is an interface of Xen's netback on a bridge in domain 0, which is 10.0.0.1. The guest is told `ip=10.0.0.15/24 gw=10.0.0.1` \
on its command line, unless that has an `ip=` of its own, and has the same address by DHCP. It reaches domain 0; those who \
connect to a forwarded port reach it.

Paths in a disk= line are domain 0's: /dev/ram0 to /dev/ram3 are RAM disks of 64 MiB, which lose everything at the end. A file of \
the host cannot be given; a scenario makes file systems, as examples/src/bin/cat.sh does.

Exit status: the guest's own (0 to 255); 101 after a panic, 102 after a crash or an unexpected end, 103 when the scenario \
failed, 124 when the time limit passed, 130 after a Ctrl-C that ended it at once, 2 when the guest could not be started.

Examples:
  cargo xtask run
  cargo xtask run hello
  cargo xtask run hello --direct -- one two
  cargo xtask run ping --network
  cargo xtask run --elf path/to/kernel --memory 64 --forward 8080:80
  cargo xtask run echo --scenario tests/real-xen/scenarios/typing.sh
  cargo xtask run disk-info --config 'disk=[\"phy:/dev/ram1,xvda,w\"]'
  cargo xtask run cat --scenario examples/src/bin/cat.sh -- /folder/file";

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// An example; without one, the web server with all that belongs to it
    pub example: Option<String>,
    /// Only lists the examples
    #[arg(long)]
    pub list: bool,
    /// Without an example: fetches the pages, checks them, and ends the guest
    #[arg(long, conflicts_with_all = ["example", "elf", "direct", "scenario"])]
    pub smoke: bool,
    /// Boots this PV ELF file instead of an example
    #[arg(long, value_name = "PATH", conflicts_with = "example")]
    pub elf: Option<PathBuf>,
    /// Gives Xen the guest as its domain 0: starts in a second, without toolstack and xenstore
    #[arg(long)]
    pub direct: bool,
    /// The guest's memory in MiB
    #[arg(long, value_name = "MB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=65536))]
    pub memory: u32,
    /// The guest's virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32), conflicts_with = "direct")]
    pub vcpus: u32,
    /// How long the guest may run, in seconds; 0 is for no limit [default: 60; without an example none]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Makes virtual time count instructions: slower, but figures repeat exactly
    #[arg(long)]
    pub icount: bool,
    /// Gives the guest a network interface, 10.0.0.15
    #[arg(long, conflicts_with = "direct")]
    pub network: bool,
    /// Passes connections to a port of this machine (127.0.0.1) on to one of the guest's, such as 8080:80; port 0 of this machine is for one that is free, `/udp` for datagrams (with --outside); may be repeated
    #[arg(long, value_name = "HOST:GUEST", conflicts_with = "direct")]
    pub forward: Vec<Forward>,
    /// Lets the guest reach the outside, and this machine's own services (10.0.0.2), through its network
    #[arg(long, conflicts_with = "direct")]
    pub outside: bool,
    /// Adds a line to the guest's xl configuration; may be repeated
    #[arg(long, value_name = "LINE", conflicts_with = "direct")]
    pub config: Vec<String>,
    /// Runs this shell script in domain 0 while the guest runs
    #[arg(long, value_name = "FILE", conflicts_with = "direct")]
    pub scenario: Option<PathBuf>,
    /// Tells at the end when each step of the boot began, and draws a picture of it; domain 0 pings a guest with a network until it answers
    #[arg(long)]
    pub timeline: bool,
    /// Shows the log of Xen and domain 0 as it comes
    #[arg(long, short)]
    pub verbose: bool,
    /// The guest's command line
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

const NEW_HELP: &str = "\
The folder's name is the package's. In it there are a Cargo.toml that depends on this checkout's `runtime` by its path, what cargo has to \
know to build for Xen, and a src/main.rs that greets and shows what the guest has. The crates are not published: the checkout also \
has the program that boots the guest, and so both are of one version.

`cargo build --release` there builds the guest, `cargo run --release` boots it, with the options of `cargo xtask run` after two dashes.

Exit status: 0, or 2 if nothing was made: the name is no crate's, or the folder is there already.

Examples:
  cargo xtask new ../mine
  cd ../mine && cargo run --release -- --direct
  cargo xtask run --elf ../mine/target/x86_64-unknown-none/release/mine --network";

/// Options of `new`.
#[derive(Debug, Args)]
pub struct New {
    /// The folder, which must not be there yet
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

const TEST_HELP: &str = "\
All steps take about half an hour on two processors, and 8 GB. Each is told with its own time when it has ended; a step that fails, or \
takes more than 20 minutes, does not stop the others, and the end lists the commands that repeat what failed. Boots and Miri run beside the other steps, and what they say is printed when they have ended. Miri needs a nightly toolchain, which rustup fetches once; without a network its steps are NOT RUN.

Exit status: 0 if all steps passed, 1 if one failed (with --complete: or was not run), 2 if they could not be started.

Examples:
  cargo xtask test --host
  cargo xtask test clippy format
  cargo xtask test --complete";

/// Options of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Only steps with one of these words in their name
    #[arg(value_name = "STEP")]
    pub steps: Vec<String>,
    /// Only what needs no Xen
    #[arg(long, conflicts_with = "xen")]
    pub host: bool,
    /// Only the tests on real Xen
    #[arg(long)]
    pub xen: bool,
    /// A step that cannot run on this machine counts as failed
    #[arg(long)]
    pub complete: bool,
    /// Only shows the steps
    #[arg(long)]
    pub list: bool,
}

impl Test {
    /// Returns whether no step is left out.
    #[must_use]
    pub const fn means_all(&self) -> bool {
        self.steps.is_empty() && !self.host && !self.xen
    }
}

const MUTANTS_HELP: &str = "\
The guards and their tests are listed in tests/mutants/*.toml. \
Each is taken away in a copy of the workspace (under target/mutants): its test must exist, pass before and fail then. A guard \
without which every test passes has `survived`; a list that is wrong (no such text or test, a change that does not compile) is `broken`.

Exit status: 0 if a test noticed each, 1 if not, 2 if they could not be tried.";

/// Options of `mutants`.
#[derive(Debug, Args)]
pub struct Mutants {
    /// Only those with one of these words in their id, file or package
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Only a share of them, such as 2/5: the second of five. `cargo xtask test` tries a thirty-second, the next with each commit
    #[arg(long, value_name = "N/M", default_value_t = Share::ALL)]
    pub share: Share,
}

const COVERAGE_HELP: &str = "\
The files, the reason for each, the packages whose tests are run, and the goal stand in tests/coverage.toml. The tests are built by the \
pinned toolchain, with counters, under target/coverage. The table has for each file its lines with code, how many of them ran, and the \
numbers of those that did not; tests that stand in a file do not count. LLVM's tools come with the Rust toolchain: rustup adds them where \
they are missing.

Exit status: 0 if the goal is reached in all files together, 1 if not, or if a test failed; 2 if it could not be measured.

Examples:
  cargo xtask coverage
  cargo xtask coverage netfront/ frontend";

/// Options of `coverage`.
#[derive(Debug, Args)]
pub struct Coverage {
    /// Only files with one of these words in their path; the goal is for them, then
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
}

const SOAK_HELP: &str = "\
A round is: hostile steps on rings (native, under AddressSanitizer and under Miri), random faults around disks and interfaces, scripts of \
what peers write (changed by chance; and, where there is a C++ compiler, as coverage leads, under AddressSanitizer), the property tests of \
all packages, the storms of the simulator and of the crates above it, and, in the first round, the models of several processors with \
larger bounds. What coverage finds is kept in target/fuzz-corpus; a script that breaks a promise is named. Each exercise prints its seed, how much it did, and the command that repeats it. The first finding ends \
the run; a round that has begun is finished when the time is over.

Exit status: 0 if nothing was found, 1 if something was, 2 if it could not be started.

Examples:
  cargo xtask soak --minutes 480
  cargo xtask soak --rounds 1 --seed 7 --steps 1000000";

/// Options of `soak`.
#[derive(Debug, Args)]
pub struct Soak {
    /// How long to begin new rounds
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub minutes: u64,
    /// How many rounds at most
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
    /// Hostile ring steps in a round; all else is scaled with them
    #[arg(long, value_name = "N", default_value_t = 200_000_000)]
    pub steps: u64,
    /// The seed of the first round, from which those of the others follow; from the clock, if not given
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Only exercises with one of these words in their name
    #[arg(value_name = "EXERCISE")]
    pub exercises: Vec<String>,
}

const DOC_HELP: &str = "\
The pages of the API are rustdoc's, of all library crates, and may have no warning. The book is mdBook's, of docs/book, with the \
documents in docs beside it; its table of features is made of docs/features.toml, whose tests must exist, as must those that the book and the \
documents name. Links of the book, into the API too, and of all documents of the repository must lead somewhere; those to other machines are \
not followed.

The first time mdBook is built, under target/book-builder, which takes about a minute; nothing is installed. All of it works without a network \
then. `mdbook serve docs/book` works as well where mdBook 0.5 is installed; the pages of the repository's files are missing there.

Exit status: 0 if all is well, 1 if a link leads nowhere, 2 if a page could not be made.

Examples:
  cargo xtask doc
  cargo xtask doc --book";

/// Options of `doc`.
#[derive(Debug, Args)]
pub struct Doc {
    /// Only the book; the pages of the API are those of the last time
    #[arg(long)]
    pub book: bool,
    /// What mdBook calls, with a book on standard input: docs/book/book.toml says so
    #[arg(long, value_name = "WORD", num_args = 0.., conflicts_with = "book")]
    pub preprocess: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn guest_arguments_follow_two_dashes() {
        let cli = Cli::parse_from(["xtask", "run", "hello", "--direct", "--", "--help", "x"]);
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!((run.arguments, run.direct), (vec!["--help".to_owned(), "x".to_owned()], true));
    }

    #[test]
    fn a_misspelt_command_is_answered_with_the_right_one() {
        let answer = |word| Cli::from_words(["xtask", word]).unwrap_err().to_string();
        for (word, meant) in [("rnu", "'run'"), ("docter", "'doctor'"), ("tets", "'test'")] {
            assert!(answer(word).contains(meant), "{}", answer(word));
        }
        assert!(!answer("xyzzy").contains("similar"));
    }

    #[test]
    fn mdbook_may_ask_what_the_preprocessor_supports() {
        let words = |line: &[&str]| match Cli::parse_from(line).command {
            Command::Doc(doc) => doc.preprocess,
            _ => panic!("not doc"),
        };
        assert_eq!(words(&["xtask", "doc"]), None);
        assert_eq!(words(&["xtask", "doc", "--preprocess"]), Some(vec![]));
        assert_eq!(words(&["xtask", "doc", "--preprocess", "supports", "html"]).unwrap(), ["supports", "html"]);
    }

    #[test]
    fn a_benchmark_has_a_kind_or_is_all_of_them() {
        let cli = Cli::parse_from(["xtask", "bench", "block", "--only", "linux"]);
        let Command::Bench(Bench { benchmark: Some(Benchmark::Block(options)), .. }) = cli.command else {
            panic!("not block")
        };
        assert_eq!((options.terms.only, options.terms.rounds), (Some(Contestant::Linux), 2));
        let cli = Cli::parse_from(["xtask", "bench", "net", "--packets", "1000"]);
        let Command::Bench(Bench { benchmark: Some(Benchmark::Net(options)), .. }) = cli.command else {
            panic!("not net")
        };
        assert_eq!((options.terms.only, options.packets), (None, 1000));
        let cli = Cli::parse_from(["xtask", "bench", "--keep"]);
        let Command::Bench(all) = cli.command else { panic!("not a benchmark") };
        assert!(all.keep && matches!(all.benchmarks()[..], [Benchmark::Rings, Benchmark::Block(_), Benchmark::Net(_)]));
    }

    #[test]
    fn an_example_and_an_elf_file_exclude_each_other() {
        assert!(Cli::try_parse_from(["xtask", "run", "hello", "--elf", "x"]).is_err());
        assert!(Cli::try_parse_from(["xtask", "run", "--memory", "1", "hello"]).is_err());
    }

    #[test]
    fn scenarios_and_networks_need_a_toolstack() {
        for option in ["--scenario=x", "--network", "--forward=8080:80", "--outside", "--config=x"] {
            assert!(Cli::try_parse_from(["xtask", "run", "hello", option]).is_ok(), "{option}");
            assert!(Cli::try_parse_from(["xtask", "run", "hello", "--direct", option]).is_err(), "{option}");
        }
    }

    #[test]
    fn a_forward_that_is_wrong_says_why() {
        let answer = |text| Cli::try_parse_from(["xtask", "run", "hello", "--forward", text]).unwrap_err().to_string();
        assert!(answer("80").contains("a colon, and the guest's"), "{}", answer("80"));
        assert!(answer("80:99999").contains("\"99999\" is no port"), "{}", answer("80:99999"));
    }
}
