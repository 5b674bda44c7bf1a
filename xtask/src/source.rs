//! Where in a program's source an address lies.

use std::path::Path;

use addr2line::Loader;

use crate::paths;

/// Returns the function and the source line that hold an address of a program, as `FUNCTION (FILE:LINE)`.
///
/// Where functions were inlined, it is the innermost one that is neither of Rust's own libraries nor of a dependency: the
/// line that the author of the program can change.
#[must_use]
pub fn place(elf: &Path, address: u64) -> Option<String> {
    let loader = Loader::new(elf).ok()?;
    let symbol = loader.find_symbol(address)?;
    let frames = frames(&loader, address);
    let own = frames.iter().position(|frame| is_own(&frame.file)).unwrap_or(0);
    let frame = frames.get(own);
    // The outermost function is the symbol's, whose name has the module's as well.
    let inlined = frame.filter(|_| own + 1 < frames.len());
    let name = inlined.and_then(|frame| frame.function.as_deref()).unwrap_or(symbol);
    let line = frame.map(|frame| format!(" ({}:{})", shorten(&frame.file), frame.line));
    Some(format!("{:#}{}", rustc_demangle::demangle(name), line.unwrap_or_default()))
}

/// A function that an address belongs to.
struct Frame {
    /// Its name as the linker has it, where the program tells.
    function: Option<String>,
    file: String,
    line: u32,
}

/// Returns the functions that an address belongs to and whose line is known, the innermost first.
fn frames(loader: &Loader, address: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    let Ok(mut found) = loader.find_frames(address) else { return frames };
    // Debugging information that cannot be read is as good as none.
    while let Ok(Some(frame)) = found.next() {
        let function = frame.function.and_then(|name| Some(name.raw_name().ok()?.into_owned()));
        let place = frame.location.and_then(|place| Some((place.file?.to_owned(), place.line?)));
        frames.extend(place.map(|(file, line)| Frame { function, file, line }));
    }
    frames
}

/// Returns whether a source file is neither Rust's own nor one that cargo downloaded.
fn is_own(file: &str) -> bool {
    !["/rustc/", "/registry/src/", "/git/checkouts/", "/rustlib/src/"].iter().any(|part| file.contains(part))
}

/// Returns a path as seen from the workspace, which is how the compiler's messages give it.
fn shorten(file: &str) -> String {
    let root = paths::workspace().unwrap_or_default();
    let path = Path::new(file);
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSymbol as _};

    use super::*;

    #[test]
    fn an_address_of_this_program_is_found_in_this_file() {
        let program = std::env::current_exe().unwrap();
        let data = std::fs::read(&program).unwrap();
        let file = object::File::parse(data.as_slice()).unwrap();
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains("6source7shorten"))).unwrap();
        let place = place(&program, symbol.address()).unwrap();
        assert!(place.starts_with("xtask::source::shorten (xtask/src/source.rs:"), "{place}");
    }

    #[test]
    fn libraries_are_told_from_the_program() {
        assert!(is_own("examples/src/bin/hello.rs") && is_own("/home/me/kernel/src/main.rs"));
        assert!(!is_own("/rustc/0123/library/core/src/hint.rs"));
        assert!(!is_own("/home/me/.cargo/registry/src/index-1/talc-5.1.0/src/lib.rs"));
    }
}
