//! Why a request is refused before anybody reads its body.

use std::fmt;

/// Why a request is not answered: its status, and the reason for the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) why: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }
}

pub(crate) fn bad(why: impl fmt::Display) -> Refusal {
    Refusal::new(400, format_args!("Bad request: {why}."))
}
