//! Owned binary data. A type of its own, because a `Vec<u8>` is an array of ints like any other
//! `Vec`.

use std::ops::{Deref, DerefMut};

/// Bytes that travel as `<base64>`. A parameter that is only read is better a `&[u8]`, which copies
/// nothing.
///
/// # Examples
/// ```
/// use hotcall_plugin::Bytes;
///
/// #[hotcall_plugin::method]
/// fn reverse(data: &[u8]) -> Bytes {
///     Bytes(data.iter().rev().copied().collect())
/// }
/// assert_eq!(reverse(b"abc"), Bytes(b"cba".to_vec()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl Deref for Bytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}
