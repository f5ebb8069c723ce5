//! What the methods answer about themselves. Must not know of methods.

use hotcall_plugin::IntoValue;

/// What answers.
#[derive(IntoValue)]
pub(crate) struct Toolkit {
    /// Empty as long as the crate names no page of its own.
    #[hotcall(rename = "toolkitDocsUrl")]
    docs_url: &'static str,
    #[hotcall(rename = "toolkitName")]
    name: &'static str,
    #[hotcall(rename = "toolkitVersion")]
    version: &'static str,
    #[hotcall(rename = "toolkitOperatingSystem")]
    operating_system: &'static str,
}

impl Toolkit {
    pub(crate) const fn hotcall() -> Self {
        Self {
            docs_url: env!("CARGO_PKG_HOMEPAGE"),
            name: "Hotcall",
            version: env!("CARGO_PKG_VERSION"),
            operating_system: std::env::consts::OS,
        }
    }
}
