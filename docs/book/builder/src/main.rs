//! Builds an mdBook: `book-builder FOLDER INTO`.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use mdbook_driver::MDBook;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(into)) = (words.next(), words.next()) else {
        eprintln!("usage: book-builder FOLDER INTO");
        return ExitCode::from(2);
    };
    let built = MDBook::load(folder).and_then(|mut book| {
        book.config.build.build_dir = into;
        book.build()
    });
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
