//! The names of XML-RPC's types, as signatures and messages use them. Knows no values and no
//! memory.

/// A type of XML-RPC, as `system.methodSignature` and messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    /// `nil`: no value.
    Nil = 0,
    /// `boolean`.
    Bool = 1,
    /// `int`, 32 bits.
    Int = 2,
    /// `i8`, 64 bits.
    Long = 3,
    /// `double`.
    Double = 4,
    /// `string`.
    String = 5,
    /// `dateTime.iso8601`.
    DateTime = 6,
    /// `base64`.
    Binary = 7,
    /// `array`.
    Array = 8,
    /// `struct`.
    Struct = 9,
    /// Any of the others, for what is only known when the method runs.
    Any = 255,
}

impl Type {
    const ALL: [Self; 11] = [
        Self::Nil,
        Self::Bool,
        Self::Int,
        Self::Long,
        Self::Double,
        Self::String,
        Self::DateTime,
        Self::Binary,
        Self::Array,
        Self::Struct,
        Self::Any,
    ];

    /// The type of one of the ABI's tags.
    #[doc(hidden)]
    pub fn of_tag(tag: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u32 == tag)
    }

    /// The name that clients know.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool => "boolean",
            Self::Int => "int",
            Self::Long => "i8",
            Self::Double => "double",
            Self::String => "string",
            Self::DateTime => "dateTime.iso8601",
            Self::Binary => "base64",
            Self::Array => "array",
            Self::Struct => "struct",
            Self::Any => "any",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Type;
    use crate::abi;

    #[test]
    fn discriminants_are_the_tags_of_the_abi() {
        let pairs = [
            (Type::Nil, abi::NIL),
            (Type::Bool, abi::BOOL),
            (Type::Int, abi::INT),
            (Type::Long, abi::LONG),
            (Type::Double, abi::DOUBLE),
            (Type::String, abi::STRING),
            (Type::DateTime, abi::DATETIME),
            (Type::Binary, abi::BINARY),
            (Type::Array, abi::ARRAY),
            (Type::Struct, abi::STRUCT),
            (Type::Any, abi::ANY),
        ];
        for (ty, tag) in pairs {
            assert_eq!(ty as u32, tag, "{}", ty.name());
            assert_eq!(Type::of_tag(tag), Some(ty));
        }
        assert_eq!(Type::of_tag(99), None);
    }
}
