//! The whole server: registry, plugins, dispatch, listeners, put together in the order of the
//! data's way and taken apart in the opposite one.
//!
//! `options` come from a config; a `prepared` server has done all that may need root, by
//! `privileges`, and a `running` one serves. `policy`, `tls` and `client_auth` are what the options
//! mean, and `summary` shows them; `environment` and `allocator` are about the process.

pub(crate) mod allocator;
mod client_auth;
pub(crate) mod environment;
mod error;
mod options;
mod policy;
mod prepared;
mod privileges;
mod running;
mod summary;
mod tls;

pub use error::Error;
pub use options::Options;
pub use prepared::Prepared;
pub use running::Server;
