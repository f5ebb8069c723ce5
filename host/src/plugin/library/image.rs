//! `dlopen`, and the checks of the table that a plugin exports.
//!
//! A table is foreign data: every pointer in it is refused unless it leads into the library's own image, so that
//! a wrong table is an error and not a crash. A library that is mapped stays mapped for the process's life, unless its
//! generation is over and its [`Image`] is closed: unmapping is unsafe when a plugin left threads, thread-local
//! destructors or signal handlers behind.
#![allow(unsafe_code, reason = "loads code and reads the table at a symbol's address")]

use super::elf::Facts;
use super::footprint::Count;
use crate::plugin::refusal::Refusal;
use crate::registry::MethodInfo;
use hotcall_plugin::{abi, tree};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::FallocateFlags;
use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::{CStr, c_char, c_void};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::mem::size_of;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lengths of what a table may say, in bytes or items.
const NAME_BYTES_MAX: usize = 200;
const LINE_BYTES_MAX: usize = 1_000;
const HELP_BYTES_MAX: usize = 64 << 10;
const SIGNATURES_MAX: usize = 100;
const TYPES_MAX: usize = 256;

/// The sizes of the tables in ABI 1.0, and so the least that a plugin of this major has.
pub(crate) const PLUGIN_SIZE_MIN: usize = 128;
const METHOD_SIZE_MIN: usize = 64;

/// What a plugin says of itself, checked.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) methods: Vec<Arc<MethodInfo>>,
    names: BTreeSet<String>,
}

impl Descriptor {
    /// Whether it exports a method of that name.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.names.contains(method)
    }

    /// Its methods' names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// A plugin's functions. They stay callable until the image is closed.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) create: Option<abi::Create>,
    pub(crate) quiesce: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(crate) save_state: Option<abi::SaveState>,
    pub(crate) load_state: Option<abi::LoadState>,
    pub(crate) destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(crate) image: Arc<Image>,
    /// It declares that nothing of it is left once it is destroyed.
    pub(crate) leaves_nothing: bool,
    /// It declares that no two of its instances may live at the same time.
    pub(crate) is_exclusive: bool,
    /// In the order of [`Descriptor::methods`].
    pub(crate) invokes: Vec<abi::Invoke>,
}

/// A library that is mapped, its table not yet looked at.
pub(crate) struct Mapped {
    table: usize,
    /// The library's own memory.
    segments: Vec<Range<usize>>,
    image: Arc<Image>,
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
}

#[derive(Debug)]
struct Handle(*mut c_void);

// SAFETY: the dynamic loader's handles are opaque and may be used on any thread, dlopen(3), "MT-Safe".
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Maps a private copy. The library's constructors run.
///
/// # Errors
/// The dynamic loader's words, or no table where the file said.
pub(crate) fn map(copy: &Path, facts: &Facts) -> Result<Mapped, Refusal> {
    // SAFETY: the file's constructors run here: plugins are trusted code, and this is the loader thread. The file
    // is the server's own copy with a name never used before, whole by `elf::read`, and nobody writes to it.
    let library = unsafe { Library::open(Some(copy), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| Refusal::Dlopen(dlerror(&error, copy)))?;
    // SAFETY: the symbol's address is only looked at, as a number.
    let symbol = unsafe { library.get::<*const abi::Plugin>(abi::SYMBOL) };
    let table = symbol.map(|symbol| symbol.into_raw() as usize);
    // Never unmapped, also when what follows refuses it: its constructors have run.
    let handle = Handle(library.into_raw());
    let table = table.map_err(|_| Refusal::NoSymbol)?;

    let base = usize::try_from(facts.table_address).ok().and_then(|address| table.checked_sub(address));
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
    };
    let image = Arc::new(image);
    Ok(Mapped { table, segments, image })
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

    /// What it takes now.
    pub(crate) fn count(&self) -> Count {
        let is_shrunk = self.is_shrunk.load(Ordering::Relaxed);
        Count { file_bytes: if is_shrunk { self.loaded_bytes } else { self.whole.file_bytes }, ..self.whole }
    }

    /// Gives back the disk space of what is mapped nowhere: symbols and debug information, which are most of many files
    /// and tell nothing any more once no call runs. How many bytes that was.
    ///
    /// A hole and not an end: the file keeps its length, so that whoever else has mapped it, as a debugger or the printer of
    /// a backtrace, finds zeros there, where beyond a file's end would be SIGBUS. No mapped page changes.
    pub(crate) fn shrink(&self) -> u64 {
        let spare = self.whole.file_bytes.saturating_sub(self.loaded_bytes);
        if spare == 0 || self.is_shrunk.load(Ordering::Relaxed) {
            return 0;
        }
        if let Err(error) = punch(&self.copy, self.loaded_bytes, spare) {
            log::debug!("cannot give back {spare} bytes of {} on disk: {error}", self.copy.display());
            return 0;
        }
        self.is_shrunk.store(true, Ordering::Relaxed);
        spare
    }

    /// Gives back the memory of what can be read again from the private copy: most of a library that is hardly used any
    /// more. Code of it that runs after all, as of a thread-local's destructor, comes back by itself.
    pub(crate) fn rest(&self) {
        for pages in &self.constant {
            let (start, bytes) = (pages.start as *mut c_void, pages.end - pages.start);
            // SAFETY: the pages are mapped from the copy and nobody has written to them, so that the kernel may drop them
            // at any time, as it does when memory is short; the copy outlives the mapping and never changes.
            let dropped = unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxDontNeed) };
            if let Err(error) = dropped {
                log::debug!("cannot give back {bytes} bytes of {}: {error}", self.copy.display());
            }
        }
    }

    /// Unmaps the library and removes its private copy. False when the dynamic loader keeps it nevertheless, as it does
    /// for thread-locals with destructors and for symbols that are unique in the process.
    ///
    /// # Safety
    /// To be called once, when nothing of the library is used any more: no thread runs its code or will, and nobody
    /// follows a pointer into it.
    pub(crate) unsafe fn close(&self) -> bool {
        /// glibc's bits/dlfcn.h.
        const RTLD_NOLOAD: i32 = 4;
        // SAFETY: `map` got the handle by `into_raw`, and it is closed once.
        let library = unsafe { Library::from_raw(self.handle.0) };
        if library.close().is_err() {
            return false;
        }
        // SAFETY: with NOLOAD nothing is mapped and no code runs: it is only asked whether the library is there.
        let is_there = unsafe { Library::open(Some(&self.copy), RTLD_NOLOAD | RTLD_NOW) }.is_ok();
        if !is_there {
            // What is left goes with the server in any case.
            let _ = fs::remove_file(&self.copy);
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

impl Mapped {
    /// Reads the table and checks every rule of the header.
    ///
    /// # Errors
    /// [`Refusal::Table`] with the first rule that it breaks.
    pub(crate) fn check(&self, methods_max: usize) -> Result<(Descriptor, Table), Refusal> {
        self.check_table(methods_max).map_err(Refusal::Table)
    }

    fn check_table(&self, methods_max: usize) -> Result<(Descriptor, Table), String> {
        let plugin = self.one(self.table as *const abi::Plugin, "the table")?;
        check_size(plugin.struct_size, PLUGIN_SIZE_MIN, "the table")?;
        if plugin.abi_major != abi::ABI_MAJOR {
            return Err(format!("abi_major is {} and must be {}", plugin.abi_major, abi::ABI_MAJOR));
        }
        let name = self.text(plugin.name, "its name", NAME_BYTES_MAX)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(format!("its name {name:?} must be of ASCII letters, digits, - and _"));
        }
        let version = self.line(plugin.version, "its version")?;
        self.line(plugin.description, "its description")?;
        if plugin.methods_len == 0 {
            return Err("it has no methods".into());
        }
        if plugin.methods_len > methods_max {
            return Err(format!("it has {} methods and may have {methods_max}", plugin.methods_len));
        }
        let mut descriptor = Descriptor {
            name: name.into(),
            version: version.into(),
            methods: Vec::new(),
            names: BTreeSet::new(),
        };
        let mut invokes = Vec::new();
        for (index, method) in self.many(plugin.methods, plugin.methods_len, "methods")?.iter().enumerate() {
            let (info, invoke) = self.method(*method).map_err(|what| format!("method {index}: {what}"))?;
            if !descriptor.names.insert(info.name.clone()) {
                return Err(format!("it exports {} twice", info.name));
            }
            descriptor.methods.push(Arc::new(info));
            invokes.push(invoke);
        }
        let table = Table {
            create: plugin.create,
            quiesce: plugin.quiesce,
            save_state: plugin.save_state,
            load_state: plugin.load_state,
            destroy: plugin.destroy,
            image: Arc::clone(&self.image),
            leaves_nothing: plugin.flags & abi::PLUGIN_LEAVES_NOTHING != 0,
            is_exclusive: plugin.extension.is_some_and(|extension| has(extension, c"hotcall.exclusive", 1)),
            invokes,
        };
        Ok((descriptor, table))
    }

    fn method(&self, method: *const abi::Method) -> Result<(MethodInfo, abi::Invoke), String> {
        let method = self.one(method, "its table")?;
        check_size(method.struct_size, METHOD_SIZE_MIN, "its table")?;
        let name = self.text(method.name, "its name", NAME_BYTES_MAX)?;
        check_method_name(name)?;
        let invoke = method.invoke.ok_or_else(|| format!("{name} has no invoke function"))?;
        let help = self.text(method.help, "its help", HELP_BYTES_MAX)?;
        if method.signatures_len > SIGNATURES_MAX {
            return Err(format!(
                "{name} has {} signatures and may have {SIGNATURES_MAX}",
                method.signatures_len
            ));
        }
        let signatures = self.many(method.signatures, method.signatures_len, "its signatures")?;
        let signatures =
            signatures.iter().map(|signature| self.signature(*signature)).collect::<Result<_, _>>();
        let info = MethodInfo {
            name: name.into(),
            help: help.into(),
            signatures: signatures.map_err(|what| format!("{name}: {what}"))?,
            idempotent: method.flags & abi::METHOD_IDEMPOTENT != 0,
            quick: method.flags & abi::METHOD_QUICK != 0,
        };
        Ok((info, invoke))
    }

    fn signature(&self, signature: abi::Signature) -> Result<Vec<&'static str>, String> {
        if signature.types_len == 0 || signature.types_len > TYPES_MAX {
            return Err(format!(
                "a signature has {} types and may have 1 to {TYPES_MAX}",
                signature.types_len
            ));
        }
        let tags = self.many(signature.types, signature.types_len, "a signature")?;
        tags.iter().map(|tag| type_name(u32::from(*tag))).collect()
    }

    fn line(&self, text: abi::Str, what: &str) -> Result<&str, String> {
        let text = self.text(text, what, LINE_BYTES_MAX)?;
        if text.chars().any(char::is_control) {
            return Err(format!("{what} has control characters"));
        }
        Ok(text)
    }

    fn text(&self, text: abi::Str, what: &str, bytes_max: usize) -> Result<&str, String> {
        if text.len > bytes_max {
            return Err(format!("{what} has {} bytes and may have {bytes_max}", text.len));
        }
        std::str::from_utf8(self.many(text.ptr, text.len, what)?).map_err(|_| format!("{what} is not UTF-8"))
    }

    fn one<T>(&self, ptr: *const T, what: &str) -> Result<&T, String> {
        self.many(ptr, 1, what)?.first().ok_or_else(|| format!("{what} is missing"))
    }

    /// Items of `T` in the library's own memory. `T` is one of the ABI's types, which have no invalid bits. What outlives
    /// `self` is copied from them: the library may be unmapped once its generation is over.
    fn many<T>(&self, ptr: *const T, len: usize, what: &str) -> Result<&[T], String> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| format!("{what} is impossibly long"))?;
        if bytes > 0 && !self.holds(ptr as usize, bytes) {
            return Err(format!("{what} is at {ptr:p}, which is not in the library"));
        }
        // SAFETY: the range lies in one segment of a library that is mapped as long as `self` lives: only `Image::close`
        // unmaps it, whose caller promises that nobody follows a pointer into it any more. The header requires these tables
        // to be static data that nobody writes.
        unsafe { tree::slice_of(ptr, len) }.map_err(|defect| format!("{what}: {defect}"))
    }

    fn holds(&self, start: usize, bytes: usize) -> bool {
        let Some(end) = start.checked_add(bytes) else { return false };
        self.segments.iter().any(|segment| segment.start <= start && end <= segment.end)
    }
}

/// A table of an older minor is shorter than this host's type: fields past `struct_size` must not be read. ABI 1.0 has no
/// older minor, so today the least size is the whole type.
fn check_size(struct_size: u32, needs: usize, what: &str) -> Result<(), String> {
    const { assert!(PLUGIN_SIZE_MIN == size_of::<abi::Plugin>() && METHOD_SIZE_MIN == size_of::<abi::Method>()) };
    match usize::try_from(struct_size) {
        Ok(size) if size >= needs => Ok(()),
        _ => Err(format!("{what} says struct_size {struct_size} and needs {needs}")),
    }
}

/// Whether a plugin has an optional feature. Its code runs.
fn has(
    extension: unsafe extern "C" fn(*const c_char, u32) -> *const c_void,
    id: &CStr,
    revision: u32,
) -> bool {
    // SAFETY: the function is of a table that was checked, whose library is mapped; any thread may call it; the text ends
    // with a NUL.
    !unsafe { extension(id.as_ptr(), revision) }.is_null()
}

fn check_method_name(name: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:/".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("its name {name:?} must be of ASCII letters, digits and _ . : /"));
    }
    if name.starts_with("system.") || name.starts_with("hotcall.") {
        return Err(format!("its name {name} is the server's own: system. and hotcall. are reserved"));
    }
    Ok(())
}

fn type_name(tag: u32) -> Result<&'static str, String> {
    Ok(match tag {
        abi::NIL => "nil",
        abi::BOOL => "boolean",
        abi::INT => "int",
        abi::LONG => "i8",
        abi::DOUBLE => "double",
        abi::STRING => "string",
        abi::DATETIME => "dateTime.iso8601",
        abi::BINARY => "base64",
        abi::ARRAY => "array",
        abi::STRUCT => "struct",
        abi::ANY => "any",
        tag => return Err(format!("a signature has the unknown type {tag}")),
    })
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
        assert!(constant(&both, slice::from_ref(&(0x2fff..0x3900))).is_empty(), "they share a page");
        assert!(constant(&both, &both).is_empty());
    }
}
