//! Places in the repository and in the book: words between slashes, from a root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Follows a relative path from a folder; `None` where it leaves the root.
pub(super) fn follow(folder: &str, path: &str) -> Option<String> {
    let mut place: Vec<&str> = folder.split('/').filter(|word| !word.is_empty()).collect();
    for word in path.split('/') {
        match word {
            "" | "." => {}
            ".." => drop(place.pop()?),
            word => place.push(word),
        }
    }
    Some(place.join("/"))
}

/// Returns the folder of a place.
pub(super) fn folder(place: &str) -> &str {
    place.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Returns the way from a folder to a place.
pub(super) fn way(folder: &str, place: &str) -> String {
    let depth = folder.split('/').filter(|word| !word.is_empty()).count();
    "../".repeat(depth) + place
}

/// Returns all files of the repository, in order: not what is built or hidden.
pub(super) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let is_left_out = name.to_string_lossy().starts_with('.') || name == "target";
            match (is_left_out, path.is_dir()) {
                (true, _) => {}
                (false, true) => folders.push(path),
                (false, false) => files.push(path),
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_within_the_root() {
        assert_eq!(follow("docs/book/src", "../../SOUNDNESS.md").as_deref(), Some("docs/SOUNDNESS.md"));
        assert_eq!(follow("", "./a//b/../c").as_deref(), Some("a/c"));
        assert_eq!(follow("docs", "../../x"), None);
    }

    #[test]
    fn a_way_leads_back_up() {
        assert_eq!(way(folder("reference/costs.md"), "first-boot.md"), "../first-boot.md");
        assert_eq!(way(folder("costs.md"), "a/b.md"), "a/b.md");
    }
}
