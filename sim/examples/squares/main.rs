//! A driver's tests in the simulator, as `docs/simulator.md` explains them. `cargo run -p xen-sim --example squares`
//! runs them with the seed in `XEN_SIM_SEED`; `sim/tests/it/guide.rs` with many.

#[allow(unreachable_pub, reason = "as in a driver's own crate")]
mod driver;
#[allow(unreachable_pub, reason = "as in a driver's own crate")]
mod scenarios;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::var("XEN_SIM_SEED").map_or(Ok(1), |seed| seed.parse())?;
    for (name, scenario) in scenarios::ALL {
        let calls = scenario(seed);
        println!("{name}: seed {seed}, {calls} events in the trace");
    }
    Ok(())
}
