//! The actions that a part of the loader asks for because they are not its own to do.
//!
//! Parts return them in order, and the loader does them one after the other. So no part calls
//! another, and the part that makes a change also holds its order.

use super::events::Gone;
use super::generation::Generation;
use crate::pause::Pause;
use crate::plugin::instance::candidate::{Candidate, Copied};
use crate::plugin::library::image::Image;
use crate::plugin::probe::verdict::Verdict;
use crate::plugin::refusal::Refusal;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;

/// One thing to be done.
pub(super) enum Action {
    /// Publish what has changed, and then tell those that were replaced.
    Publish,
    /// Tell those who wait for reloads that are done.
    AnswerReloads,
    /// Look again at what waits for the end of an instance.
    WakeWaiting,
    /// Serve what waited for a name that may be free now.
    RetryConflicting,
    /// Try a content that has its private copy.
    Try { file: OsString, copied: Copied, tries: u32 },
    /// Start the trials that have a place now.
    StartTrials,
    /// A trial of a replacement with `create` has ended.
    TriedAlone { id: u64, verdict: Verdict },
    /// Load what has passed its trial.
    LoadPassed,
    /// Map a library that has passed its trial.
    Load { file: OsString, copied: Copied, warnings: Vec<String> },
    /// A library was mapped.
    CountMapped(Arc<Image>),
    /// Serve a checked plugin.
    Admit(Attempt),
    /// See to it that no instance lives that may not meet the candidate's.
    MakeRoom(Attempt),
    /// Make the candidate's instance: there is room for it.
    Create(Attempt),
    /// Replace an instance that must end first.
    Replace(Box<Wish>),
    /// Destroy the instance of a gated generation, which has not been told of its end.
    End(Arc<Generation>),
    /// Have the calls of a replaced plugin go on.
    Resume(Box<Resumption>),
    /// The library of a destroyed instance is not needed again.
    Keep(Gone),
}

/// One attempt to have a checked content serve.
pub(super) struct Attempt {
    /// The file that has the content.
    pub(super) file: OsString,
    pub(super) candidate: Candidate,
    /// How often it was put off before.
    pub(super) tries: u32,
}

/// A content that is to replace an instance which must end first.
pub(super) struct Wish {
    pub(super) attempt: Attempt,
    pub(super) old: Arc<Generation>,
    /// Calls may be in it that did not enter its gate.
    pub(super) is_gate_new: bool,
}

/// How calls go on that waited for a replacement.
pub(super) struct Resumption {
    /// The file whose plugin answers them.
    pub(super) file: OsString,
    pub(super) pause: Pause,
    pub(super) by: ResumedBy,
}

/// What calls go on in.
pub(super) enum ResumedBy {
    /// The new version.
    New {
        plugin: String,
        /// When calls began to wait.
        since: Instant,
        /// Of the old version.
        remains: Option<Gone>,
    },
    /// The old version, made again.
    Old { old: Arc<Generation>, refused: Option<Box<Refused>> },
}

/// A content that did not replace what it should.
pub(super) struct Refused {
    pub(super) attempt: Attempt,
    pub(super) refusal: Refusal,
}
