//! Sizes of TLS records.

/// Most bytes that one record carries (RFC 8446, section 5.1).
pub(in crate::net) const RECORD_BYTES_MAX: usize = 16 << 10;
/// Most bytes that encryption adds to them: a header, and 256 (RFC 8446, section 5.2). The ciphers
/// that are left of TLS 1.2 add less.
pub(in crate::net) const RECORD_ADDED_BYTES_MAX: usize = 5 + 256;
