//! The operators' side: the status, a reload, the inspection of a file.

pub(crate) mod control;
pub mod inspect;
