//! How much of a document is read. Must not know who chooses it.

/// How much of a document is read before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The whole document.
    pub bytes_max: usize,
    /// Arrays and structs within each other; past 2,000 it counts as 2,000.
    pub depth_max: usize,
    /// Values of all kinds together.
    pub values_max: usize,
    /// One text: a string, a base64 text.
    pub text_bytes_max: usize,
    /// The method's name.
    pub method_bytes_max: usize,
    /// The name of a struct's member.
    pub name_bytes_max: usize,
    /// The name of an element or of an attribute, as XML has it, with its prefix.
    pub element_name_bytes_max: usize,
    /// The value of an attribute.
    pub attribute_bytes_max: usize,
    /// Attributes of one element. XML-RPC has none; declarations of namespaces do not count.
    pub attributes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            depth_max: 128,
            values_max: 1_000_000,
            text_bytes_max: 64 << 20,
            method_bytes_max: 1_024,
            name_bytes_max: 65_536,
            element_name_bytes_max: 256,
            attribute_bytes_max: 4_096,
            attributes_max: 64,
        }
    }
}

/// Values are dropped, compared and printed by recursion, which must not end a thread whatever the
/// limits say.
pub(super) const DEPTH_CEILING: usize = 2_000;
