//! Which contents may be loaded at all: pinned ones, and ones that a known key has signed.
//!
//! With nothing configured, every content may be loaded. With pins or keys, a content that is
//! neither pinned nor signed is refused before it is read as a library. Either suffices. A pin is
//! of the content, whatever the file's name. A signature is minisign's, in a file of its own
//! beside the plugin. Knows no ELF and no slots.
//!
//! Trust is checked before a content's first code runs, and only there. When `[trust]` changes,
//! contents that do not serve are judged again. A serving content that is no longer trusted is
//! only logged as a warning.
//!
//! Deliberately absent: a protection against old versions. A pin or signature stays valid until
//! the config changes.

use super::content::{Content, ContentHash};
use super::permissions;
use crate::plugin::refusal::Refusal;
use minisign_verify::{Error as Minisign, PublicKey, Signature};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A signature file: four lines, of which minisign lets the longest have 8 KiB.
const SIGNATURE_BYTES_MAX: u64 = 16 << 10;

/// Who may say what is loaded. The default trusts every file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// None: no pins are configured. An empty set trusts nothing.
    pins: Option<BTreeSet<ContentHash>>,
    /// None: no keys are configured.
    keys: Option<Vec<PublicKey>>,
}

impl Trust {
    /// Trust in contents with one of these SHA-256 (64 hexadecimal digits each), and in those
    /// signed with one of these minisign public keys (the second line of a `minisign.pub`). What is
    /// None is not configured; an empty list is, and trusts nothing.
    ///
    /// # Errors
    /// What is not a digest or not a key, as text.
    pub fn new(
        sha256: Option<&[String]>,
        minisign_keys: Option<&[String]>,
    ) -> Result<Self, String> {
        let pin = |text: &String| {
            ContentHash::from_hex(text).ok_or_else(|| {
                format!("trust.sha256 has {text:?}, which is not 64 hexadecimal digits")
            })
        };
        let key = |text: &String| {
            PublicKey::from_base64(text).map_err(|_| {
                format!(
                    "trust.minisign_keys has {text:?}, which is not a minisign public key: \
                     give the second line of minisign.pub"
                )
            })
        };
        Ok(Self {
            pins: sha256.map(|all| all.iter().map(pin).collect::<Result<_, _>>()).transpose()?,
            keys: minisign_keys
                .map(|all| all.iter().map(key).collect::<Result<_, _>>())
                .transpose()?,
        })
    }

    /// Whether nothing is configured, so that every file is trusted.
    pub const fn is_open(&self) -> bool {
        self.pins.is_none() && self.keys.is_none()
    }

    /// Whether a signature file beside a plugin matters.
    pub(crate) const fn wants_signatures(&self) -> bool {
        self.keys.is_some()
    }

    /// Checks the content of a plugin file.
    ///
    /// # Errors
    /// [`Refusal::Untrusted`]. Never of the content alone: a signature may still come.
    pub(crate) fn check(
        &self,
        file: &Path,
        content: &Content,
        follows_links: bool,
    ) -> Result<(), Refusal> {
        if self.is_open() || self.pins.as_ref().is_some_and(|pins| pins.contains(&content.hash)) {
            return Ok(());
        }
        let Some(keys) = &self.keys else {
            return Err(Refusal::Untrusted(format!(
                "its SHA-256 {} is not in trust.sha256; add it there if the file is right",
                content.hash.hex()
            )));
        };
        let pinned = match &self.pins {
            Some(_) => format!("its SHA-256 {} is not in trust.sha256, and ", content.hash.hex()),
            None => String::new(),
        };
        let signed = read_signature(file, follows_links)
            .and_then(|text| verify(keys, &text, &content.bytes));
        signed.map_err(|why| Refusal::Untrusted(format!("{pinned}{why}")))
    }
}

/// Where the signature of a plugin file stands.
pub(crate) fn signature_path(file: &Path) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(".minisig");
    path.into()
}

fn read_signature(file: &Path, follows_links: bool) -> Result<String, String> {
    let path = signature_path(file);
    let shown = path.display();
    let opened = match permissions::open_at(&path, follows_links) {
        Ok(opened) => opened,
        Err(Refusal::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("there is no signature {shown}; make it with minisign -S"));
        }
        Err(refusal) => return Err(format!("its signature {shown} cannot be used: {refusal}")),
    };
    if !opened.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(format!("its signature {shown} is not a regular file"));
    }
    let mut text = Vec::new();
    let read = opened.take(SIGNATURE_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| format!("its signature {shown} cannot be read: {error}"))?;
    if text.len() as u64 > SIGNATURE_BYTES_MAX {
        return Err(format!("its signature {shown} is larger than {SIGNATURE_BYTES_MAX} bytes"));
    }
    String::from_utf8(text).map_err(|_| format!("its signature {shown} is not text"))
}

fn verify(keys: &[PublicKey], text: &str, bytes: &[u8]) -> Result<(), String> {
    let signature = Signature::decode(text)
        .map_err(|_| "its signature is not one of minisign; make it with minisign -S".to_owned())?;
    // What the key that made it says; the others only say that they are others.
    let mut why = "its signature is of a key that is not in trust.minisign_keys";
    for key in keys {
        match key.verify(bytes, &signature, false) {
            Ok(()) => return Ok(()),
            Err(Minisign::UnexpectedKeyId) => {}
            Err(Minisign::UnexpectedAlgorithm) => {
                why = "its signature is of minisign's old kind, which is not accepted; \
                       make it with minisign 0.8 or newer, without -l";
            }
            Err(_) => {
                why = "its signature does not fit its content; sign this file, or put the signed \
                       one there"
            }
        }
    }
    Err(why.to_owned())
}
