//! Hotcall: an XML-RPC server whose methods are compiled plugins.

pub mod cli {
    //! The command line.
    pub mod check;
}
pub mod limits;
pub mod plugin;
pub mod registry;
pub mod xmlrpc;
