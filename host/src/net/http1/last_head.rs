//! The last head that this thread has vetted, with what was understood of it.
//!
//! The heads of one client's calls differ in no more than the body's length, and often not in
//! that. Clients of one kind send the same heads. The meaning of a head depends on its bytes alone,
//! so the same bytes need not be vetted again. Must not know that meaning.

use super::head::Parsed;
use std::cell::RefCell;

/// A longer head is not kept.
const BYTES_MAX: usize = 512;

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// A whole head and what it means.
struct Last {
    bytes: Vec<u8>,
    parsed: Parsed,
}

/// The head at the beginning of `bytes` and its length, if it is the last one.
#[inline]
pub(super) fn parsed(bytes: &[u8]) -> Option<(Parsed, usize)> {
    LAST.with_borrow(|last| {
        let last = last.as_ref().filter(|last| bytes.starts_with(&last.bytes))?;
        Some((last.parsed.clone(), last.bytes.len()))
    })
}

/// Keeps a whole head, unless it is long or has credentials of HTTP authentication.
pub(super) fn keep(bytes: &[u8], parsed: &Parsed) {
    if bytes.len() > BYTES_MAX || parsed.head.authorization.is_some() {
        return;
    }
    LAST.with_borrow_mut(|last| match last {
        Some(last) => {
            last.bytes.clear();
            last.bytes.extend_from_slice(bytes);
            last.parsed.clone_from(parsed);
        }
        None => *last = Some(Last { bytes: bytes.to_vec(), parsed: parsed.clone() }),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::http1::head::parse;

    const FIRST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";

    /// Keeps it as if it had come, and gives what is known of these bytes then.
    fn after(head: &str, bytes: &str) -> Option<(Parsed, usize)> {
        let (of_head, length) = parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(length, head.len());
        keep(head.as_bytes(), &of_head);
        parsed(bytes.as_bytes())
    }

    #[test]
    fn the_last_head_is_known_and_no_other() {
        let bytes = format!("{FIRST}abcPOST");
        assert_eq!(parsed(bytes.as_bytes()), None);
        assert_eq!(after(FIRST, &bytes), parse(FIRST.as_bytes()).unwrap());
        let other = FIRST.replace('3', "4");
        assert_eq!(after(&other, &bytes), None);
        assert_eq!(after(&other, &other), parse(other.as_bytes()).unwrap());
    }

    #[test]
    fn a_head_that_only_begins_so_or_ends_too_early_is_another() {
        let longer = FIRST.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(after(FIRST, &longer), None);
        for end in 0..FIRST.len() {
            assert_eq!(parsed(&FIRST.as_bytes()[..end]), None);
        }
    }

    #[test]
    fn passwords_and_long_heads_are_not_kept() {
        for field in ["Authorization: Basic YTpi", &format!("A: {}", "b".repeat(BYTES_MAX))] {
            let head = FIRST.replace("Host: h", &format!("Host: h\r\n{field}"));
            assert!(after(FIRST, FIRST).is_some());
            assert_eq!(after(&head, &head), None);
        }
    }
}
