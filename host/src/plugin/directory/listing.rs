//! Lists the plugins directory. Must not know what is in the files.

use super::arrival::Arrival;
use super::trust;
use crate::plugin::refusal::Refusal;
use crate::stamp::Stamp;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One entry of the directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    /// Of a symbolic link that is followed, its target's.
    pub(crate) stamp: Stamp,
    pub(crate) is_symlink: bool,
    /// Of the signature file beside it, if that matters and is there.
    pub(crate) signature: Option<Stamp>,
    /// How its name came to it since the last look, if the kernel told.
    pub(crate) arrival: Option<Arrival>,
}

/// What a listing looks at besides names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attention {
    /// A symbolic link stands for its target.
    pub(crate) follows_links: bool,
    /// Signature files matter.
    pub(crate) wants_signatures: bool,
}

/// A listing, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// There is no such directory.
    pub(crate) is_missing: bool,
}

/// Lists the regular files and symbolic links named `*.so` directly inside; hidden ones and others
/// are passed over.
///
/// # Errors
/// The directory cannot be read, for another reason than that there is none.
pub(crate) fn list(directory: &Path, attention: Attention) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let names = match fs::read_dir(directory) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            listing.is_missing = true;
            return Ok(listing);
        }
        Err(error) => return Err(error),
    };
    for name in names {
        let name = name?.file_name();
        if !is_plugin_name(&name) {
            continue;
        }
        let path = directory.join(&name);
        match look(&path, attention.follows_links) {
            Ok((meta, is_symlink)) if meta.is_file() || meta.is_symlink() => {
                let signature =
                    attention.wants_signatures.then(|| fs::metadata(trust::signature_path(&path)));
                let signature = signature.and_then(Result::ok).map(|meta| Stamp::from(&meta));
                listing.entries.push(Entry {
                    name,
                    stamp: Stamp::from(&meta),
                    is_symlink,
                    signature,
                    arrival: None,
                });
            }
            Ok(_) => {}
            // It went between the listing and the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    listing.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listing)
}

/// What a name stands for, and whether it is a symbolic link. One that leads nowhere is not found,
/// as a file that is removed; one that cannot be followed stands for itself and says so when it is
/// read.
fn look(path: &Path, follows_links: bool) -> io::Result<(Metadata, bool)> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_symlink() || !follows_links {
        let is_symlink = meta.is_symlink();
        return Ok((meta, is_symlink));
    }
    match fs::metadata(path) {
        Ok(target) => Ok((target, true)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok((meta, true)),
    }
}

/// Whether a file of this name is looked at.
pub(super) fn is_plugin_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".so") && !name.starts_with(b".")
}

/// Refuses a name that operators could not send to `hotcall.reload`: XML has no such characters.
pub(crate) fn check_name(name: &OsStr) -> Result<(), Refusal> {
    if name.as_bytes().iter().any(u8::is_ascii_control) { Err(Refusal::Name) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_only_visible_libraries_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.so", "a.so", ".hidden.so", "a.so.tmp", "notes.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("dir.so")).unwrap();
        let entries = list(directory.path(), Attention::default()).unwrap().entries;
        let names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a.so", "b.so"]);
    }

    #[test]
    fn a_missing_directory_is_empty_and_said_to_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let listing = list(&directory.path().join("none"), Attention::default()).unwrap();
        assert!(listing.is_missing && listing.entries.is_empty());
    }
}
