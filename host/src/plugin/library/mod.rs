//! Mapped libraries: the ELF facts, the library with its table, and the memory that it keeps. Must
//! not know instances or the life cycle.

pub(crate) mod count;
pub(crate) mod database;
pub(crate) mod descriptor;
pub(crate) mod elf;
pub(crate) mod footprint;
pub(crate) mod image;
pub(crate) mod table;
