//! Hotcall: an XML-RPC server whose methods are compiled plugins.

pub mod cli;
pub mod client;
pub mod limits;
pub mod plugin;
pub mod registry;
pub mod xmlrpc;
