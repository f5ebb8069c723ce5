//! TLS: the certificates that listeners shake hands with, and how these change while the server runs.
//!
//! A [`Tls`] is made from [`Settings`], which are paths. When a file changes or an operator asks,
//! all are reloaded and replace the old ones in one step: new handshakes use them, and open
//! connections continue. Files that cannot be used change nothing. Sessions and connections outlive
//! new certificates of the server, and end when client requirements change. Knows no sockets and no
//! HTTP.
//!
//! `files` reads; `identity` is a certificate and its key; `peer` is what is asked of clients, and `name`
//! reads their names; `context` makes OpenSSL's side of all that, `server` keeps what serves now, and `watch` looks at the files.

mod context;
mod development;
mod files;
mod identity;
mod name;
mod peer;
mod record;
mod server;
mod settings;
mod stamps;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials;
mod watch;

pub use development::development_certificate;
pub use name::ClientName;
pub use peer::ClientAuth;
pub(super) use record::{RECORD_ADDED_BYTES_MAX, RECORD_BYTES_MAX};
pub(super) use server::Context;
pub use server::{Ready, Tls};
pub use settings::{CertificateFiles, Settings, files};
pub(super) use watch::Watch;
