//! Hotcall: an XML-RPC server whose methods are compiled plugins.

pub mod dev;
pub mod limits;
pub mod plugin;
pub mod registry;
pub mod rpc;
pub mod xmlrpc;
