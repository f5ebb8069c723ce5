//! The outcome of a trial. Must not know how trials run.

use crate::plugin::refusal::Refusal;
use std::io;

/// What became of a probe.
pub(crate) struct Verdict {
    /// The plugin's name, if it came to that.
    pub(crate) plugin: Option<String>,
    /// The probe's warnings; or what the child refused, or how the plugin ended or held up the
    /// child; or [`Refusal::Io`] when there could be no probe.
    pub(crate) outcome: Result<Vec<String>, Refusal>,
}

impl Verdict {
    /// There could be no probe.
    pub(crate) fn none(what: &'static str, source: io::Error) -> Self {
        Self { plugin: None, outcome: Err(Refusal::Io { what, source }) }
    }
}
