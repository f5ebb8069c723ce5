//! The structs that the methods take and answer. Must not know of methods.

use hotcall_plugin::{Arena, Built, Fault, FromValue, IntoValue, Mismatch, Tree, Type, Value};

/// Any struct, as it is.
pub(crate) struct Record(pub(crate) Value);

impl FromValue<'_> for Record {
    const TYPE: Type = Type::Struct;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        match Value::from_value(value)? {
            members @ Value::Struct(_) => Ok(Self(members)),
            _ => Err(Mismatch::new(Type::Struct.name(), &value.view()?)),
        }
    }
}

impl IntoValue for Record {
    const TYPE: Type = Type::Struct;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        self.0.into_value(arena)
    }
}

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
