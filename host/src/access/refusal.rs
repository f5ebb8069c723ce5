//! Why a request is not served. Must not know how that was decided.

/// Why a request is not served: its status, and the reason for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// One or two sentences.
    pub why: String,
    /// A header field that belongs to the status.
    pub header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    pub(super) fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), header: None }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}
