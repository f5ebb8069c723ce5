//! A snapshot of a plugin's source files. Knows no plugins and no builds.

use crate::stamp::Stamp;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Source files of one plugin.
const FILES_MAX: usize = 20_000;
/// Folders within each other below a plugin's own.
const DEPTH_MAX: usize = 32;

/// The files that count, and the folders that hold them. Equal when nothing that counts has
/// changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Stamp>,
    folders: Vec<PathBuf>,
}

impl Sources {
    /// Looks at a folder and everything below it that is not [ignored].
    ///
    /// # Errors
    /// A folder that cannot be read, or too many files. What vanishes meanwhile is no error.
    pub(super) fn scan(folder: &Path) -> io::Result<Self> {
        let mut sources = Self::default();
        sources.add(folder, 0)?;
        sources.folders.sort();
        Ok(sources)
    }

    /// The folders to watch.
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    fn add(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!(
                "{} is more than {DEPTH_MAX} folders deep",
                folder.display()
            )));
        }
        self.folders.push(folder.to_owned());
        for entry in fs::read_dir(folder).map_err(about(folder))? {
            let entry = entry.map_err(about(folder))?;
            if ignored(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let path = entry.path();
            let Some(kind) = unless_gone(entry.file_type().map_err(about(&path)))? else {
                continue;
            };
            if kind.is_dir() {
                unless_gone(self.add(&path, depth + 1))?;
            } else if let Some(metadata) = unless_gone(fs::metadata(&path).map_err(about(&path)))?
                // A link to a folder is not followed: it may lead back.
                && metadata.is_file()
            {
                self.files.insert(path, Stamp::from(&metadata));
            }
            if self.files.len() > FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} source files")));
            }
        }
        Ok(())
    }
}

/// Whether a file or folder of that name is no source: hidden, an editor's, or written by a build.
pub(super) fn ignored(name: &str) -> bool {
    let editors =
        name.ends_with('~') || (name.starts_with('#') && name.ends_with('#')) || name == "4913";
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let temporary = ["swp", "swx", "tmp", "bak", "orig", "o", "a", "d", "gch"].contains(&extension);
    let library = name.split('.').skip(1).any(|part| part == "so");
    name.starts_with('.') || name == "target" || editors || temporary || library
}

/// Names the file or folder that an error is about: it may be any in a tree.
fn about(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
