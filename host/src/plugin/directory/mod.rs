//! The files on disk: the listing, who could change them, which of them are trusted, and private
//! copies. Must not know plugins' code.

pub(crate) mod arrival;
pub(crate) mod content;
pub(crate) mod listing;
pub(crate) mod permissions;
pub(crate) mod store;
pub(crate) mod trust;
pub(crate) mod watch;
