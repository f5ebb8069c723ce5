//! The macros of `hotcall-plugin`.
