//! The checks of the table that a plugin exports.
//!
//! A table is foreign data: every pointer in it is refused unless it leads into the library's own
//! image, so that a wrong table is an error and not a crash. Must not know files.
#![allow(unsafe_code, reason = "reads the table at a symbol's address")]

use super::descriptor::Descriptor;
use super::elf::PLUGIN_SIZE_MIN;
use super::image::{Image, Mapped};
use crate::plugin::refusal::Refusal;
use crate::registry::MethodInfo;
use hotcall_plugin::{Type, abi, tree};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};
use std::mem::size_of;
use std::sync::Arc;

/// Lengths of what a table may say, in bytes or items.
const NAME_BYTES_MAX: usize = 200;
const LINE_BYTES_MAX: usize = 1_000;
const HELP_BYTES_MAX: usize = 64 << 10;
const SIGNATURES_MAX: usize = 100;
const TYPES_MAX: usize = 256;

/// The size of a method's table in ABI 1.0, and so the least that a plugin of this major has.
const METHOD_SIZE_MIN: usize = 64;

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
            return Err(format!(
                "abi_major is {} and must be {}",
                plugin.abi_major,
                abi::ABI_MAJOR
            ));
        }
        let name = self.text(plugin.name, "its name", NAME_BYTES_MAX)?;
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(format!("its name {name:?} must be of ASCII letters, digits, - and _"));
        }
        let version = self.line(plugin.version, "its version")?;
        let description = self.line(plugin.description, "its description")?;
        if plugin.methods_len == 0 {
            return Err("it has no methods".into());
        }
        if plugin.methods_len > methods_max {
            return Err(format!(
                "it has {} methods and may have {methods_max}",
                plugin.methods_len
            ));
        }
        let mut descriptor = Descriptor {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            methods: Vec::new(),
            names: BTreeSet::new(),
        };
        let mut invokes = Vec::new();
        for (index, method) in
            self.many(plugin.methods, plugin.methods_len, "methods")?.iter().enumerate()
        {
            let (info, invoke) =
                self.method(*method).map_err(|what| format!("method {index}: {what}"))?;
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
            is_exclusive: plugin
                .extension
                .is_some_and(|extension| has(extension, c"hotcall.exclusive", 1)),
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
        let unknown = |tag| format!("a signature has the unknown type {tag}");
        let name =
            |tag: &_| Type::of_tag(u32::from(*tag)).map(Type::name).ok_or_else(|| unknown(*tag));
        tags.iter().map(name).collect()
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
        std::str::from_utf8(self.many(text.ptr, text.len, what)?)
            .map_err(|_| format!("{what} is not UTF-8"))
    }

    fn one<T>(&self, ptr: *const T, what: &str) -> Result<&T, String> {
        self.many(ptr, 1, what)?.first().ok_or_else(|| format!("{what} is missing"))
    }

    /// Items of `T` in the library's own memory. `T` is one of the ABI's types, which have no
    /// invalid bits. What outlives `self` is copied from them: the library may be unmapped once its
    /// generation is over.
    fn many<T>(&self, ptr: *const T, len: usize, what: &str) -> Result<&[T], String> {
        let bytes =
            len.checked_mul(size_of::<T>()).ok_or_else(|| format!("{what} is impossibly long"))?;
        if bytes > 0 && !self.holds(ptr as usize, bytes) {
            return Err(format!("{what} is at {ptr:p}, which is not in the library"));
        }
        // SAFETY: the range lies in one segment of a library that is mapped as long as `self`
        // lives: only `Image::close` unmaps it, whose caller promises that nobody follows a pointer
        // into it any more. The header requires these tables to be static data that nobody writes.
        unsafe { tree::slice_of(ptr, len) }.map_err(|defect| format!("{what}: {defect}"))
    }

    fn holds(&self, start: usize, bytes: usize) -> bool {
        let Some(end) = start.checked_add(bytes) else { return false };
        self.segments.iter().any(|segment| segment.start <= start && end <= segment.end)
    }
}

/// A table of an older minor is shorter than this host's type: fields past `struct_size` must not
/// be read. ABI 1.0 has no older minor, so today the least size is the whole type.
fn check_size(struct_size: u32, needs: usize, what: &str) -> Result<(), String> {
    const {
        assert!(
            PLUGIN_SIZE_MIN == size_of::<abi::Plugin>()
                && METHOD_SIZE_MIN == size_of::<abi::Method>()
        )
    };
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
    // SAFETY: the function is of a table that was checked, whose library is mapped; any thread may
    // call it; the text ends with a NUL.
    !unsafe { extension(id.as_ptr(), revision) }.is_null()
}

fn check_method_name(name: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:/".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("its name {name:?} must be of ASCII letters, digits and _ . : /"));
    }
    if name.starts_with("system.") || name.starts_with("hotcall.") {
        return Err(format!(
            "its name {name} is the server's own: system. and hotcall. are reserved"
        ));
    }
    Ok(())
}
