//! What whoever links a crate of ours expects of all that comes with it.

use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

/// Licences that ask for no more than a notice.
const LICENCES: [&str; 8] = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Zlib"];
/// Crates that are published have all of these.
const METADATA: [&str; 6] = ["description", "documentation", "license", "readme", "repository", "rust_version"];
/// It has no public home yet.
const TO_COME: &str = "repository";

fn metadata(more: &[&str]) -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked"]).args(more);
    let output = cargo.output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    serde_json::from_value(all["packages"].take()).expect("there are packages")
}

/// Whether everybody may use it under one of these licences, or why it is not known.
fn is_allowed(license: &str) -> Result<bool, String> {
    let expression = Expression::parse_mode(license, ParseMode::LAX).map_err(|error| error.to_string())?;
    // An exception only takes away from what is asked for.
    Ok(expression.evaluate(|wanted| wanted.license.id().is_some_and(|id| LICENCES.contains(&id.name))))
}

#[test]
fn all_dependencies_have_licences_that_ask_for_a_notice_at_most() {
    let mut bad = Vec::new();
    for package in metadata(&[]) {
        let license = package["license"].as_str().unwrap_or("none");
        if !matches!(is_allowed(license), Ok(true)) {
            bad.push(format!("{} {}: {license}", package["name"], package["version"]));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn licences_are_told_apart() {
    for good in ["MIT", "MIT/Apache-2.0", "GPL-2.0-only OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert_eq!(is_allowed(good), Ok(true), "{good}");
    }
    for bad in ["GPL-2.0-only", "MIT AND GPL-3.0-only", "MPL-2.0", "none of your business"] {
        assert_ne!(is_allowed(bad), Ok(true), "{bad}");
    }
}

#[test]
fn crates_that_are_published_say_what_they_are() {
    let published = metadata(&["--no-deps"]).into_iter().filter(|package| package["publish"].is_null());
    let published: Vec<_> = published.collect();
    assert!(published.len() >= 10, "{} crates are published", published.len());
    for package in published {
        for key in METADATA.into_iter().filter(|key| *key != TO_COME) {
            assert!(package[key].as_str().is_some_and(|text| !text.is_empty()), "{} has no {key}", package["name"]);
        }
        for key in ["keywords", "categories"] {
            assert!(package[key].as_array().is_some_and(|words| !words.is_empty()), "{} has no {key}", package["name"]);
        }
        let features = &package["metadata"]["docs"]["rs"]["all-features"];
        assert!(package["name"] == "xen-rt-macros" || features == true, "{}: docs.rs shows not all", package["name"]);
    }
}

/// The oldest compiler that is promised is the one with which everything is tested.
#[test]
fn the_promised_compiler_is_the_tested_one() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let pinned = std::fs::read_to_string(format!("{root}/rust-toolchain.toml")).expect("it is there");
    let pinned: toml::Value = toml::from_str(&pinned).expect("it is TOML");
    let channel = pinned["toolchain"]["channel"].as_str().expect("it names a version");
    for package in metadata(&["--no-deps"]) {
        let promised = package["rust_version"].as_str().expect("it names a version");
        assert!(channel.starts_with(promised), "{}: {promised}, and {channel} is tested", package["name"]);
    }
}
