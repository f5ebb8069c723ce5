//! The checked description of a plugin, from its table. Must not know where it is mapped.

use crate::registry::MethodInfo;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a plugin says of itself, checked.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) name: String,
    pub(crate) version: String,
    /// One line; may be empty.
    pub(crate) description: String,
    pub(crate) methods: Vec<Arc<MethodInfo>>,
    pub(super) names: BTreeSet<String>,
}

impl Descriptor {
    /// Whether it exports a method of that name.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.names.contains(method)
    }

    /// What it says that it is for, if it says so.
    pub(crate) fn description(&self) -> Option<String> {
        Some(self.description.clone()).filter(|text| !text.is_empty())
    }

    /// Its methods' names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}
