//! Returns the memory of code that only the start needed.
//!
//! The kernel maps code in windows around what runs. After the start, almost all of the program and
//! of libcrypto is resident: arguments, configuration, certificates and loading took most of it.
//! The pages are those of files, so code that runs again is mapped again, from the file's cache.
#![allow(unsafe_code, reason = "tells the kernel to drop pages")]

use std::ffi::c_void;
use std::fs;
use std::ops::Range;

/// Drops the pages of all code and constants that nobody has written to. Running threads map what
/// they use again.
pub(crate) fn give_back() {
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else { return };
    for pages in unwritten(&maps) {
        let (start, bytes) = (pages.start as *mut c_void, pages.end - pages.start);
        // SAFETY: the pages are mapped from a file and not writable, and this process has no copies
        // of its own of them. The kernel may drop such pages at any time, and reads them again.
        let dropped =
            unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxDontNeed) };
        if let Err(error) = dropped {
            log::debug!("cannot give back {bytes} bytes of code: {error}");
        }
    }
}

/// The private mappings of files that are not writable, and of which no page was ever changed: not
/// by the dynamic loader, and not by a debugger that has set a breakpoint.
fn unwritten(maps: &str) -> impl Iterator<Item = Range<usize>> {
    let mut mapping = None;
    maps.lines().filter_map(move |line| {
        if line.starts_with("Anonymous:") {
            let is_unchanged = line.split_whitespace().nth(1) == Some("0");
            return mapping.take().filter(|_| is_unchanged);
        }
        if let Some(pages) = pages_of(line) {
            mapping = is_constant(line).then_some(pages);
        }
        None
    })
}

/// The addresses in the line that a mapping begins with: START-END PERMISSIONS OFFSET DEVICE INODE
/// PATH.
fn pages_of(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

fn is_constant(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let permissions = words.next();
    let path = words.nth(3);
    matches!(permissions, Some("r--p" | "r-xp")) && path.is_some_and(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unwritten_pages_of_files_are_given_back() {
        let mapping = |start: usize, rest: &str, anonymous: usize| {
            format!(
                "{start:x}-{:x} {rest}\nSize:  8 kB\nRss:   4 kB\nAnonymous:  {anonymous} kB\n\
                 VmFlags: rd ex mr mw me\n",
                start + 8192
            )
        };
        let maps = [
            mapping(0x1000, "r-xp 00000000 fe:01 123   /usr/bin/a program", 0),
            mapping(0x10000, "r--p 00001000 fe:01 123   /usr/bin/a program", 0),
            mapping(0x20000, "r--p 00003000 fe:01 123   /usr/bin/a program", 4),
            mapping(0x30000, "rw-p 00005000 fe:01 123   /usr/bin/a program", 0),
            mapping(0x40000, "r--s 00000000 fe:01 124   /usr/lib/cache", 0),
            mapping(0x50000, "rw-p 00000000 00:00 0", 8),
            mapping(0x60000, "r-xp 00000000 00:00 0     [vdso]", 0),
            mapping(0x70000, "---p 00000000 00:00 0", 0),
            mapping(0x80000, "r-xp 00000000 fe:01 125   /usr/lib/libcrypto.so.3 (deleted)", 0),
        ]
        .concat();
        let found: Vec<_> = unwritten(&maps).collect();
        assert_eq!(found, [0x1000..0x3000, 0x10000..0x12000, 0x80000..0x82000]);
    }

    #[test]
    fn code_runs_on_after_its_pages_are_given_back() {
        let before = format!("{:?}", std::env::args());
        for _ in 0..3 {
            give_back();
            assert_eq!(format!("{:?}", std::env::args()), before);
        }
    }
}
