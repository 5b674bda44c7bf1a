//! `cargo xtask new`: what it makes, and what it refuses. (`tests/real-xen/tests/direct.rs` builds and boots one.)

use std::fs;
use std::path::{Path, PathBuf};

use xtask::{new, paths};

/// A folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(paths::unique("new"));
        fs::create_dir(&folder).expect("there is room");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refusal(folder: &Path) -> String {
    format!("{:#}", new::make(folder, Path::new("/a/program")).expect_err("it is refused"))
}

#[test]
fn a_package_has_its_names_everywhere_and_the_toolchain_of_the_checkout() {
    let place = Folder::new();
    let made = new::make(&place.0.join("my-guest"), Path::new("/a/program")).expect("it can be made");
    let read = |file: &str| fs::read_to_string(made.join(file)).expect("it was written");
    for file in ["Cargo.toml", ".cargo/config.toml", "rust-toolchain.toml", "build.rs", "src/main.rs", ".gitignore"] {
        let content = read(file);
        for key in ["NAME", "CHECKOUT", "XTASK", "CHANNEL"] {
            assert!(!content.contains(key), "{file}:\n{content}");
        }
    }
    assert!(read("Cargo.toml").contains("name = \"my-guest\""));
    assert!(read("src/main.rs").contains("Hello from my-guest"));
    assert!(read(".cargo/config.toml").contains("runner = [\"/a/program\", \"run\", \"--elf\"]"));
    let checkout = paths::workspace().expect("this is one");
    let channel = |text: &str| text.lines().find(|line| line.starts_with("channel")).map(str::to_owned);
    let own = fs::read_to_string(checkout.join("rust-toolchain.toml")).expect("it is there");
    assert_eq!(channel(&read("rust-toolchain.toml")), channel(&own));
}

#[test]
fn what_is_there_is_left_alone() {
    let place = Folder::new();
    let taken = place.0.join("taken");
    fs::write(&taken, "mine").expect("there is room");
    assert!(refusal(&taken).contains("is there already"), "{}", refusal(&taken));
    assert_eq!(fs::read_to_string(&taken).expect("it is there"), "mine");
    assert!(refusal(&place.0.join("none/x")).contains("there is no folder"));
}

#[test]
fn a_name_that_is_no_crates_or_a_place_in_the_checkout_makes_nothing() {
    let place = Folder::new();
    assert!(refusal(&place.0.join("3rd")).contains("`guest-3rd` would do"));
    assert_eq!(fs::read_dir(&place.0).expect("it is there").count(), 0);
    let inside = paths::workspace().expect("this is one").join("examples/inside");
    assert!(refusal(&inside).contains("cargo xtask new ../inside"), "{}", refusal(&inside));
    assert!(!inside.exists());
}
