//! Listening sockets, until there is a connection. Must not know what connections carry.

pub(super) mod acceptor;
pub(super) mod inherited;
