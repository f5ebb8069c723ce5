//! The stamps of the TLS files when they were last read.

use super::settings::{Settings, files};
use crate::stamp::Stamp;
use std::fs;

/// What files looked like; equal when none of them was written or replaced.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

impl Stamps {
    pub(super) fn of(settings: &Settings) -> Self {
        // Follows links: what they lead to counts.
        let stamp = |path| Some(Stamp::from(&fs::metadata(path).ok()?));
        Self(files(&settings.certificates, settings.clients.as_ref()).map(stamp).collect())
    }
}
