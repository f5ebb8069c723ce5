//! The way through tiny_http, over a private Unix socket. Nothing else knows tiny_http.

pub(super) mod carried;
pub(super) mod carriers;
pub(super) mod upstream;
