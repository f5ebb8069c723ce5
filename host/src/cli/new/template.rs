//! A file of a new folder.

/// Where it stands, and its text.
pub(super) type Template = (&'static str, &'static str);
