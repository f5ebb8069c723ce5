//! A library that is mapped into this process, and the private copy that it is mapped from.
//!
//! It stays mapped for the process's life, unless its generation is over and its [`Image`] is
//! closed. Unmapping is unsafe when a plugin left threads, thread-local destructors or signal
//! handlers behind. Only plugins that declare to leave nothing, and of which no warning is known,
//! are unmapped. The dynamic loader is then asked whether the library is really gone.
//! `tests/bench/RELOAD.md` shows what a retired generation still costs.
#![allow(unsafe_code, reason = "loads code and gives back its memory")]

use super::count::Count;
use super::elf::Facts;
use crate::plugin::refusal::Refusal;
use hotcall_plugin::abi;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::FallocateFlags;
use std::any::Any;
use std::error::Error as _;
use std::ffi::c_void;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A library that is mapped, its table not yet looked at.
pub(crate) struct Mapped {
    /// The address of the table.
    pub(super) table: usize,
    /// The library's own memory.
    pub(super) segments: Vec<Range<usize>>,
    pub(super) image: Arc<Image>,
}

/// A library as a whole.
#[derive(Debug)]
pub(crate) struct Image {
    handle: Handle,
    copy: PathBuf,
    /// Pages that nobody writes to.
    constant: Vec<Range<usize>>,
    /// What it takes, with the whole of its copy.
    whole: Count,
    /// The part of the copy of which pages are mapped.
    loaded_bytes: u64,
    is_shrunk: AtomicBool,
    kept: Mutex<Kept>,
}

/// What must live as long as the library is mapped. It is not dropped before that, whatever becomes
/// of the image.
#[derive(Debug, Default)]
struct Kept {
    memory: ManuallyDrop<Vec<Box<dyn Any + Send>>>,
    bytes: u64,
}

#[derive(Debug)]
struct Handle(*mut c_void);

// SAFETY: the dynamic loader's handles are opaque and may be used on any thread, dlopen(3),
// "MT-Safe".
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Maps a private copy. The library's constructors run.
///
/// # Errors
/// The dynamic loader's words, or no table where the file said.
pub(crate) fn map(copy: &Path, facts: &Facts) -> Result<Mapped, Refusal> {
    // SAFETY: the file's constructors run here: plugins are trusted code, and this is the loader
    // thread. The file is the server's own copy with a name never used before, whole by
    // `elf::read`, and nobody writes to it.
    let library = unsafe { Library::open(Some(copy), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| Refusal::Dlopen(dlerror(&error, copy)))?;
    // SAFETY: the symbol's address is only looked at, as a number.
    let symbol = unsafe { library.get::<*const abi::Plugin>(abi::SYMBOL) };
    let table = symbol.map(|symbol| symbol.into_raw() as usize);
    // Never unmapped, also when what follows refuses it: its constructors have run.
    let handle = Handle(library.into_raw());
    let table = table.map_err(|_| Refusal::NoSymbol)?;

    let base =
        usize::try_from(facts.table_address).ok().and_then(|address| table.checked_sub(address));
    let base = base.ok_or(Refusal::NoSymbol)?;
    let placed = |range: &Range<u64>| -> Option<Range<usize>> {
        let place = |address: u64| base.checked_add(usize::try_from(address).ok()?);
        Some(place(range.start)?..place(range.end)?)
    };
    let segments: Vec<_> = facts.segments.iter().filter_map(placed).collect();
    let written: Vec<_> = facts.written.iter().filter_map(placed).collect();
    let page_bytes = rustix::param::page_size();
    let image = Image {
        handle,
        copy: copy.to_owned(),
        constant: constant_pages(&segments, &written, page_bytes),
        whole: facts.count(),
        loaded_bytes: facts.loaded_bytes.next_multiple_of(page_bytes as u64).min(facts.file_bytes),
        is_shrunk: AtomicBool::new(false),
        kept: Mutex::default(),
    };
    let image = Arc::new(image);
    Ok(Mapped { table, segments, image })
}

impl Mapped {
    /// The library as a whole.
    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image)
    }
}

/// The pages of the segments that share none with one that is written to.
fn constant_pages(
    segments: &[Range<usize>],
    written: &[Range<usize>],
    page_bytes: usize,
) -> Vec<Range<usize>> {
    // As the dynamic loader maps them: from the first page that a segment touches to the last.
    let pages = |segment: &Range<usize>| -> Option<Range<usize>> {
        let start = segment.start / page_bytes * page_bytes;
        Some(start..segment.end.checked_next_multiple_of(page_bytes)?)
    };
    let written: Vec<_> = written.iter().filter_map(pages).collect();
    let is_apart =
        |range: &Range<usize>| written.iter().all(|w| w.end <= range.start || range.end <= w.start);
    segments.iter().filter_map(pages).filter(is_apart).collect()
}

impl Image {
    /// The file that it is mapped from.
    pub(crate) fn copy(&self) -> &Path {
        &self.copy
    }

    /// What it takes now, with what is kept for it.
    pub(crate) fn count(&self) -> Count {
        let is_shrunk = self.is_shrunk.load(Ordering::Relaxed);
        let file_bytes = if is_shrunk { self.loaded_bytes } else { self.whole.file_bytes };
        Count {
            bytes: self.whole.bytes.saturating_add(self.kept().bytes),
            file_bytes,
            ..self.whole
        }
    }

    /// Keeps memory that the library may use for as long as it is mapped.
    pub(crate) fn keep(&self, memory: Box<dyn Any + Send>, bytes: u64) {
        let mut kept = self.kept();
        kept.memory.push(memory);
        kept.bytes = kept.bytes.saturating_add(bytes);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that could panic half-way is done under the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the disk space of what is mapped nowhere: symbols and debug information, which
    /// are most of many files and tell nothing any more once no call runs. How many bytes that was.
    ///
    /// Punches a hole and keeps the file's length. A debugger or a backtrace printer that has
    /// mapped the file then reads zeros there; beyond a file's end it would get SIGBUS. No mapped
    /// page changes.
    pub(crate) fn shrink(&self) {
        let spare = self.whole.file_bytes.saturating_sub(self.loaded_bytes);
        if spare == 0 || self.is_shrunk.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = punch(&self.copy, self.loaded_bytes, spare) {
            log::debug!(
                "cannot give back {spare} bytes of {} on disk: {error}",
                self.copy.display()
            );
            return;
        }
        self.is_shrunk.store(true, Ordering::Relaxed);
    }

    /// Gives back the memory of what can be read again from the private copy: most of a library
    /// that is hardly used any more. Code of it that runs after all, as of a thread-local's
    /// destructor, comes back by itself.
    pub(crate) fn rest(&self) {
        for pages in &self.constant {
            let (start, bytes) = (pages.start as *mut c_void, pages.end - pages.start);
            // SAFETY: the pages are mapped from the copy and nobody has written to them, so that
            // the kernel may drop them at any time, as it does when memory is short; the copy
            // outlives the mapping and never changes.
            let dropped =
                unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxDontNeed) };
            if let Err(error) = dropped {
                log::debug!("cannot give back {bytes} bytes of {}: {error}", self.copy.display());
            }
        }
    }

    /// Unmaps the library, removes its private copy and drops what was kept for it. False when the
    /// dynamic loader keeps it nevertheless, as it does for thread-locals with destructors and for
    /// symbols that are unique in the process.
    ///
    /// # Safety
    /// To be called once, when nothing of the library is used any more: no thread runs its code or
    /// will, and nobody follows a pointer into it.
    pub(crate) unsafe fn close(&self) -> bool {
        /// glibc's bits/dlfcn.h.
        const RTLD_NOLOAD: i32 = 4;
        // SAFETY: `map` got the handle by `into_raw`, and it is closed once.
        let library = unsafe { Library::from_raw(self.handle.0) };
        if library.close().is_err() {
            return false;
        }
        // SAFETY: with NOLOAD nothing is mapped and no code runs: it is only asked whether the
        // library is there.
        let is_there = unsafe { Library::open(Some(&self.copy), RTLD_NOLOAD | RTLD_NOW) }.is_ok();
        if !is_there {
            // What is left goes with the server in any case.
            let _ = fs::remove_file(&self.copy);
            drop(mem::take(&mut *self.kept().memory));
        }
        !is_there
    }
}

/// Makes a hole in a private copy, which is not writable otherwise.
fn punch(copy: &Path, from: u64, bytes: u64) -> io::Result<()> {
    let set_mode = |mode| fs::set_permissions(copy, Permissions::from_mode(mode));
    set_mode(0o600)?;
    let opened = OpenOptions::new().write(true).open(copy);
    set_mode(0o400)?;
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(opened?, hole, from, bytes)?)
}

/// `dlerror` begins with the private copy's path, which says nothing to an operator.
fn dlerror(error: &libloading::Error, copy: &Path) -> String {
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    text.replace(&format!("{}: ", copy.display()), "")
}

#[cfg(test)]
impl Image {
    /// One that takes so much and is mapped nowhere.
    pub(crate) fn of_nothing(bytes: u64, file_bytes: u64, loaded_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            handle: Handle(std::ptr::null_mut()),
            copy: PathBuf::new(),
            constant: Vec::new(),
            whole: Count::one(bytes, file_bytes),
            loaded_bytes,
            is_shrunk: AtomicBool::new(false),
            kept: Mutex::default(),
        })
    }

    /// As [`Image::shrink`], without a file.
    pub(crate) fn shrink_nothing(&self) {
        self.is_shrunk.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    #[test]
    fn pages_that_a_written_segment_touches_are_not_constant() {
        let (code, data) = (0x17b8..0x2900, 0x3100..0x3900);
        let constant = |segments, written| constant_pages(segments, written, 0x1000);
        let both = [code.clone(), data.clone()];
        assert_eq!(constant(&both, slice::from_ref(&data)), slice::from_ref(&(0x1000..0x3000)));
        assert!(
            constant(&both, slice::from_ref(&(0x2fff..0x3900))).is_empty(),
            "they share a page"
        );
        assert!(constant(&both, &both).is_empty());
    }
}
