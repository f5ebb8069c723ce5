//! Programs of others that some tests need: clients that call Hotcall, and servers that its client
//! calls.
//!
//! They are small programs in `tests/foreign/LANGUAGE/`, each written for one library as its users
//! write for it.

mod programs;
mod server;

pub use programs::{
    Language, in_ci, is_left_out, node_at, node_modules, python, python_alone, python_at,
    python_module, xmlrpc_program,
};
pub use server::ForeignServer;
