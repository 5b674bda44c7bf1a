//! The scripts of `fuzz/corpus`, and seeded changes of them: nothing panics, and each comes to its end.
//!
//! `DOMU_STORM_STEPS` and `DOMU_SEED` make it longer and other; with `DOMU_WRITE_CORPUS` set, the first scripts are written anew.

use std::fs;
use std::path::PathBuf;

use fuzz_tests::{TARGETS, Tally, Target};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name)
}

/// The scripts of the corpus, those that a fuzzer has added included.
fn files(target: &Target) -> Vec<PathBuf> {
    fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_corpus_is_what_this_makes_of_it() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            let file = folder(&target).join(seed.name);
            if std::env::var_os("DOMU_WRITE_CORPUS").is_some() {
                fs::create_dir_all(folder(&target)).unwrap();
                fs::write(&file, &seed.script).unwrap();
            }
            let name = format!("{}/{}", target.name, seed.name);
            assert_eq!(
                fs::read(&file).ok(),
                Some(seed.script.clone()),
                "{name}: with DOMU_WRITE_CORPUS set it is written"
            );
            assert_eq!((target.play)(&seed.script), seed.expected, "{name}");
        }
    }
}

#[test]
fn every_script_of_the_corpus_comes_to_its_end() {
    for target in TARGETS {
        let files = files(&target);
        assert!(files.len() >= (target.seeds)().len());
        for file in files {
            let _ = (target.play)(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn a_storm_of_changed_scripts_breaks_no_promise() {
    TARGETS.iter().for_each(storm);
}

fn storm(target: &Target) {
    let (seed, steps) = (number("DOMU_SEED", 1), number("DOMU_STORM_STEPS", 20_000).div_ceil(target.weight));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut scripts: Vec<Vec<u8>> = files(target).into_iter().map(|file| fs::read(file).unwrap()).collect();
    // The order of a folder's files is the machine's own.
    scripts.sort();
    let mut total = Tally::default();
    for step in 0..steps {
        let script = changed(&scripts, &mut rng);
        let played = std::panic::catch_unwind(|| (target.play)(&script));
        let played = played.unwrap_or_else(|_| panic!("{}, seed {seed}, step {step}: {script:?}", target.name));
        total.merge(&played);
    }
    println!("{}, seed {seed}, {steps} scripts: {total}", target.name);
    let missing: Vec<_> = target.outcomes.iter().filter(|outcome| total.of(outcome) == 0).collect();
    assert!(steps < 200 || missing.is_empty(), "{}: no {missing:?}", target.name);
}

/// Several scripts one after the other, with some bytes changed, taken away or put in.
fn changed(scripts: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let count = rng.random_range(1..6);
    let mut script: Vec<u8> =
        (0..count).flat_map(|_| scripts[rng.random_range(0..scripts.len())].iter().copied()).collect();
    for _ in 0..rng.random_range(0..6) {
        let place = rng.random_range(0..script.len());
        match rng.random_range(0..4) {
            0 => script[place] = rng.random(),
            1 => script[place] ^= 1 << rng.random_range(0..8),
            2 if script.len() > 1 => drop(script.remove(place)),
            _ => script.insert(place, rng.random()),
        }
    }
    script
}
