//! Options of `bench`.

use clap::{Args, Command, FromArgMatches, Subcommand, value_parser};

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure; all of it, if nothing is named
    #[command(subcommand)]
    pub benchmark: Option<Benchmark>,
    /// Keeps what was measured in docs/bench, for the next report to compare with, and for the README
    #[arg(long, global = true)]
    pub keep: bool,
}

impl Bench {
    /// What to measure, with the options that were given, or the usual ones.
    #[must_use]
    pub fn benchmarks(&self) -> Vec<Benchmark> {
        let all = || vec![Benchmark::Rings, Benchmark::Block(usual()), Benchmark::Net(usual())];
        self.benchmark.clone().map_or_else(all, |one| vec![one])
    }
}

/// The options of somebody who gives none.
fn usual<T: Args + FromArgMatches>() -> T {
    let matches = T::augment_args(Command::new("bench")).get_matches_from(["bench"]);
    T::from_arg_matches(&matches).expect("none is needed")
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Benchmark {
    /// Messages through a ring: ours beside the macros of Xen's ring.h, in instructions of the host
    Rings,
    /// A disk of Linux's blkback: our driver beside Linux's
    #[command(after_help = BENCH_BLOCK_HELP)]
    Block(BenchBlock),
    /// A network interface of Linux's netback: our driver beside Linux's
    #[command(after_help = BENCH_NET_HELP)]
    Net(BenchNet),
}

pub(super) const BENCH_HELP: &str = "\
Without a name all are run, one after the other, in about ten minutes. The tables are standard output; target/bench/index.html \
is a page with a picture of all, and for each its goals, its picture, its figures beside what docs/bench has of the last time, and what one must \
know to read them. It says first which goals are missed.

Exit status: 0 if all was measured, whether goals are met or not; 130 after Ctrl-C, 2 if not.

Examples:
  cargo xtask bench
  cargo xtask bench rings
  cargo xtask bench --keep
  cargo xtask bench net --case TCP";

const BENCH_BLOCK_HELP: &str = "\
One boot of Xen with a Linux domain 0. Our guest `block-bench`, a Linux PV guest (domain 0's kernel with xen-blkfront) twice, \
and ours again read the same RAM disk, each in the same places: 4 KiB at random with 1 and with 32 requests under way, and \
1 MiB after 1 MiB. Linux reads past its cache, in the way that needs the fewest instructions: pread for one page at a time, \
io_uring with registered file and buffers for more. The options of both drivers are the ones with which they \
were quickest here: persistent grants for ours, none for Linux; --ours and --linux change them.

Virtual time counts instructions: a nanosecond of Xen's clocks is an instruction of the one processor, whoever executes \
it. A guest's are those of its vCPU as Xen accounts them, with Xen's own work on its behalf; figures repeat within a percent or so. \
Guests read the processor's counter themselves (tsc_mode=\"native\"), as on hosts whose counter is invariant; QEMU's is not, \
so that Xen would emulate each look at a clock, in a thousand instructions.

The table is standard output; CSV, SVG and a page go to target/bench/. Goals that are missed are told, and are no failure.

Exit status: 0 if all was measured, 130 after Ctrl-C, 2 if not.

Examples:
  cargo xtask bench block
  cargo xtask bench block --rounds 1 --requests 1000
  cargo xtask bench block --only linux --linux 'engine=uring blkfront=feature_persistent=1'";

const BENCH_NET_HELP: &str = "\
One boot of Xen with a Linux domain 0. Our guest `net-bench`, a Linux PV guest (domain 0's kernel with xen-netfront) twice, \
and ours again have one interface each, of Linux's netback on a bridge. They send packets of 60 and of 1,514 bytes to an \
address that nobody has: ours as the example `packet-blast` does, 32 at a time; Linux by its kernel's pktgen, which makes a packet \
once and sends it again and again, 1 and 32 at a time, of which the better counts, and by a program with a packet socket. They count what domain 0's pktgen sends, to an address \
that nobody has either, so that Linux is done with each packet at once. They answer pings, and carry bytes over TCP each way, \
with all offloads. Each start is timed, from `xl create` to the first answered ping; and in a second boot, that of the example `web` and \
of a Linux with a small web server, to the first page.

Virtual time counts instructions, as in `cargo xtask bench block`. Hypercalls are those that our guest counts itself; Linux does \
not count its own, and this Xen has no counters.

The table is standard output; CSV, SVG and a page go to target/bench/. Goals that are missed are told, and are no failure.

Exit status: 0 if all was measured, 130 after Ctrl-C, 2 if not.

Examples:
  cargo xtask bench net
  cargo xtask bench net --rounds 1 --packets 2000
  cargo xtask bench net --only ours --case transmit --ours 'channels=one pages=128'";

/// How Linux is quickest here: without persistent grants, as it copies what it reads through them, while the flush of the
/// TLB that they spare domain 0 costs nothing under translation; and with as few requests as possible for what is large.
const LINUX: &str = "blkfront=feature_persistent=0,max_indirect_segments=256";

/// What all benchmarks let one choose.
#[derive(Debug, Clone, Args)]
pub struct Terms {
    /// How often each guest does each work, in each of its two turns, after once to warm up
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Only this guest, in one turn
    #[arg(long, value_name = "GUEST")]
    pub only: Option<Contestant>,
    /// Only works with this text in their names, such as 'random reads, 1 under way' or 'transmit'
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub case: String,
    /// Adds a line to the xl configuration of both guests, such as 'tsc_mode="default"'; may be repeated
    #[arg(long, value_name = "LINE")]
    pub config: Vec<String>,
    /// Takes real time: nanoseconds of a busy machine instead of instructions
    #[arg(long)]
    pub real_time: bool,
    /// How long a guest's turn may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Shows the log of Xen and domain 0 as it comes
    #[arg(long, short)]
    pub verbose: bool,
}

/// Options of `bench block`.
#[derive(Debug, Clone, Args)]
pub struct BenchBlock {
    /// Of all benchmarks.
    #[command(flatten)]
    pub terms: Terms,
    /// Requests of 4 KiB, one under way, in a work; with 32 under way it is four times that, and a sixteenth of 1 MiB
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u64).range(64..=1_000_000))]
    pub requests: u64,
    /// Words on the command line of our guest: queues=N, ring=ORDER, segments=N, persistent=yes|no, trusted=yes|no
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub ours: String,
    /// Words on the command line of Linux: engine=pread|uring, and blkfront=OPTION,... for its driver
    #[arg(long, value_name = "WORDS", default_value = LINUX)]
    pub linux: String,
}

/// Options of `bench net`.
#[derive(Debug, Clone, Args)]
pub struct BenchNet {
    /// Of all benchmarks.
    #[command(flatten)]
    pub terms: Terms,
    /// Packets in a work; a twentieth of it are pings, and a fifth is the KiB over TCP
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = value_parser!(u64).range(1000..=10_000_000))]
    pub packets: u64,
    /// Words on the command line of our guest: queues=N, channels=one|split, pages=N, scatter=, segments=, offload=yes|no
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub ours: String,
    /// Words on the command line of Linux: netfront=OPTION,... for its driver
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub linux: String,
}

/// A guest of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Contestant {
    /// The SDK's
    Ours,
    /// Linux
    Linux,
}
