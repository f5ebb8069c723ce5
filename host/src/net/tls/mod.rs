//! TLS: the certificates that listeners use, and how these change while the server runs. Knows no
//! sockets and no HTTP.
//!
//! A [`Tls`] is made from [`Settings`], which are paths. When a file changes or an operator asks,
//! all files are read again. Their contents take effect in one atomic swap. Files that cannot be
//! used change nothing.
//!
//! Sessions and connections survive new certificates of the server. They end when client
//! requirements change.
//!
//! `files` reads; `identity` is a certificate and its key; `peer` holds the client requirements,
//! and `name` reads clients' names. `context` builds OpenSSL's contexts, `server` keeps the
//! current ones, and `watch` looks at the files.

mod context;
mod development;
mod files;
mod identity;
pub(crate) mod name;
mod peer;
mod record;
mod server;
pub(crate) mod settings;
mod stamps;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials;
mod watch;

pub use development::development_certificate;
pub use name::ClientName;
pub(super) use record::{RECORD_ADDED_BYTES_MAX, RECORD_BYTES_MAX};
pub(super) use server::Context;
pub use server::{Ready, Tls};
pub(crate) use settings::client_keys;
pub use settings::{CertificateFiles, ClientAuth, ClientAuthMode, ClientKeys, Settings, files};
pub(super) use watch::Watch;
