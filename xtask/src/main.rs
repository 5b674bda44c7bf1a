//! See `cargo xtask --help`.
fn main() -> anyhow::Result<()> {
    xtask::interrupt::install();
    let a: Vec<String> = std::env::args().collect();
    let mk = |args: &str| { let mut g = xtask::boot::GuestSpec::new("mini", &a[2]); g.arguments = args.into(); g.timeout = std::time::Duration::from_secs(10); g };
    let mut s = xtask::boot::Session { verbose: std::env::var("V").is_ok(), progress: xtask::progress::Progress::new(), output: Box::new(|b| print!("{}", String::from_utf8_lossy(b))), ..Default::default() };
    let gs: Vec<_> = a[3..].iter().enumerate().map(|(i,x)| {let mut g=mk(x); g.name=format!("mini{i}"); g}).collect();
    let o = if a[1]=="d" { vec![xtask::boot::direct_with(&gs[0], &mut s)?] } else { xtask::boot::full_with(&gs, &mut s)? };
    for o in o { s.progress.line("exit", o.ending.to_string());
    println!("{:?} {:?} {:?}", o.name,o.ending, o.console); }
    Ok(())
}
