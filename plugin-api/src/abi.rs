//! ABI 1: the exact bytes that pass between the host and a plugin.
//!
//! Every type here mirrors a type of `include/hotcall_plugin.h`, which is the ABI's reference: it
//! documents each field's owner, lifetime and thread. Layouts are asserted below, and a test
//! compiles the header with a C compiler and compares every size and offset.
//!
//! - A plugin exports one data symbol with the major version in its name, and an ELF note with the
//!   same facts. The host reads both before any code of the file runs.
//! - A plugin's methods are an array of pointers, not of structs, so that a method's table can
//!   grow.
//! - `create` gets the configuration through the host's table. It also gets a call context, so
//!   that its fault's message has an arena.
//! - Every released ABI is recorded in `abi/`; CONTRIBUTING.md says how the next one is made.
//!
//! Plugin authors do not use this module. The SDK in the rest of the crate, and the host, build on
//! it.
#![allow(
    unsafe_code,
    reason = "tables of function pointers are shared between threads by contract"
)]

use std::ffi::{c_char, c_void};
use std::mem::{align_of, offset_of, size_of};

/// Changes when a plugin built for the old ABI can no longer be loaded. Also part of [`SYMBOL`].
pub const ABI_MAJOR: u32 = 1;
/// Grows when fields are appended to a table.
pub const ABI_MINOR: u32 = 0;
/// The data symbol that a plugin exports: a [`Plugin`].
pub const SYMBOL: &str = "hotcall_plugin_v1";
/// The owner name of the ELF note, with its NUL.
pub const NOTE_OWNER: [u8; 8] = *b"Hotcall\0";
/// The type of the ELF note.
pub const NOTE_TYPE: u32 = 1;
/// The first word of the ELF note's descriptor: `HCPL` in memory order on a little-endian machine.
pub const NOTE_MAGIC: u32 = 0x4C50_4348;

/// What an ABI function reports. See [`Fault`] for the details of a failure.
pub type Status = i32;
/// It worked; the result is set.
pub const OK: Status = 0;
/// It failed with the fault code in [`Fault::code`].
pub const FAULT: Status = 1;
/// It failed without a fault code of its own; the host sends -32500.
pub const ERROR: Status = 2;
/// The code panicked and the panic was caught on the plugin's side; the host sends -32003.
pub const PANIC: Status = 3;

/// [`Value::tag`]: no value.
pub const NIL: u32 = 0;
/// [`Value::tag`]: [`Payload::boolean`], 0 or 1.
pub const BOOL: u32 = 1;
/// [`Value::tag`]: [`Payload::int`].
pub const INT: u32 = 2;
/// [`Value::tag`]: [`Payload::long`], sent as `<i8>`.
pub const LONG: u32 = 3;
/// [`Value::tag`]: [`Payload::double`].
pub const DOUBLE: u32 = 4;
/// [`Value::tag`]: [`Payload::string`], UTF-8.
pub const STRING: u32 = 5;
/// [`Value::tag`]: [`Payload::datetime`].
pub const DATETIME: u32 = 6;
/// [`Value::tag`]: [`Payload::binary`], sent as `<base64>`.
pub const BINARY: u32 = 7;
/// [`Value::tag`]: [`Payload::array`].
pub const ARRAY: u32 = 8;
/// [`Value::tag`]: [`Payload::structure`].
pub const STRUCT: u32 = 9;
/// In a [`Signature`] only: any type.
pub const ANY: u32 = 255;

/// [`Method::flags`]: calling it twice does no more than calling it once.
pub const METHOD_IDEMPOTENT: u32 = 1;
/// [`Method::flags`]: it never blocks and returns within microseconds.
pub const METHOD_QUICK: u32 = 2;
/// [`Plugin::flags`]: after `destroy` no thread, thread-local or handler of it is left.
pub const PLUGIN_LEAVES_NOTHING: u32 = 1;

/// UTF-8 text or bytes: a pointer and a length, no terminator. `ptr` may be NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// First byte.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// The items of an array.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Items {
    /// First item; may be NULL when `len` is 0.
    pub ptr: *const Value,
    /// Number of items.
    pub len: usize,
}

/// The members of a struct, in order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Members {
    /// First member; may be NULL when `len` is 0.
    pub ptr: *const Member,
    /// Number of members.
    pub len: usize,
}

/// A broken-down date and time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateTime {
    /// 0 to 9999.
    pub year: i32,
    /// 0 to 999,999,999.
    pub nanosecond: u32,
    /// East of UTC, in minutes; 0 unless `has_offset`.
    pub offset_minutes: i16,
    /// 1 when the offset is known, else 0.
    pub has_offset: u8,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 24; 24 only as 24:00:00.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
}

/// What a [`Value`] holds, by its tag.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Payload {
    /// [`BOOL`]: 0 or 1, in the first byte.
    pub boolean: u8,
    /// [`INT`].
    pub int: i32,
    /// [`LONG`].
    pub long: i64,
    /// [`DOUBLE`].
    pub double: f64,
    /// [`STRING`]: valid UTF-8.
    pub string: Str,
    /// [`DATETIME`].
    pub datetime: DateTime,
    /// [`BINARY`].
    pub binary: Str,
    /// [`ARRAY`].
    pub array: Items,
    /// [`STRUCT`].
    pub structure: Members,
}

/// One value: a tag and what it holds. All bytes zero is nil.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value {
    /// [`NIL`] to [`STRUCT`].
    pub tag: u32,
    /// Zero.
    pub reserved: u32,
    /// Which field counts is said by `tag`.
    pub payload: Payload,
}

impl Value {
    /// Nil.
    pub const NIL: Self = Self { tag: NIL, reserved: 0, payload: Payload { long: 0 } };
}

/// One member of a struct.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Member {
    /// UTF-8.
    pub name: Str,
    /// Its value.
    pub value: Value,
}

/// Why a call failed. The host fills `struct_size` and zeroes the rest before each call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Bytes of this struct that the host knows.
    pub struct_size: u32,
    /// The XML-RPC fault code, with [`FAULT`].
    pub code: i32,
    /// UTF-8, in the call's arena or static.
    pub message: Str,
}

/// One call's context and arena. Made by the host, valid until the function it was passed to
/// returns, and used only on the thread that function runs on.
#[repr(C)]
pub struct Call {
    /// Bytes of this struct that the host knows.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// The host's own.
    pub host_data: *mut c_void,
    /// Uninitialised memory that lives until the host has encoded the result. NULL when the call's
    /// memory limit is reached or `align` is not a power of two of at most 64.
    pub alloc: unsafe extern "C" fn(call: *mut Call, size: usize, align: usize) -> *mut u8,
    /// Milliseconds until the call's deadline; 0 when it has passed.
    pub remaining_ms: unsafe extern "C" fn(call: *const Call) -> u64,
    /// 1 when nobody waits for the result any more.
    pub cancelled: unsafe extern "C" fn(call: *const Call) -> u8,
    /// Writes a line to the server's log, with the plugin's name and the call's id. Levels: 1
    /// error, 2 warn, 3 info, 4 debug, 5 trace.
    pub log: unsafe extern "C" fn(call: *const Call, level: u32, message: Str),
    /// Who calls; empty when not authenticated.
    pub caller_name: Str,
    /// The address the call came from, as text; empty when there is none.
    pub caller_address: Str,
    /// The id under which the log speaks of this request.
    pub request_id: Str,
}

/// What the host offers to one instance, from before `create` until `destroy` has returned. Any
/// thread.
#[repr(C)]
pub struct Host {
    /// Bytes of this struct that the host knows.
    pub struct_size: u32,
    /// The host's [`ABI_MAJOR`].
    pub abi_major: u32,
    /// The host's [`ABI_MINOR`].
    pub abi_minor: u32,
    /// Zero.
    pub reserved: u32,
    /// The host's own.
    pub host_data: *mut c_void,
    /// For example `hotcall 0.1.0`.
    pub version: Str,
    /// Absolute path of a directory that only this plugin uses; it outlives reloads.
    pub data_directory: Str,
    /// This plugin's configuration: a struct, empty when none was given.
    pub config: *const Value,
    /// As [`Call::log`], outside a call.
    pub log: unsafe extern "C" fn(host: *const Host, level: u32, message: Str),
    /// Asks for an optional feature by its NUL-terminated id and least revision; NULL when absent.
    pub extension:
        unsafe extern "C" fn(host: *const Host, id: *const c_char, revision: u32) -> *const c_void,
}

/// Calls a method. `params` are read-only and live until it returns; `result` is nil before.
pub type Invoke = unsafe extern "C" fn(
    instance: *mut c_void,
    call: *mut Call,
    params: *const Value,
    params_len: usize,
    result: *mut Value,
    fault: *mut Fault,
) -> Status;

/// Makes an instance; sets `*instance`, which may stay NULL.
pub type Create = unsafe extern "C" fn(
    host: *const Host,
    call: *mut Call,
    instance: *mut *mut c_void,
    fault: *mut Fault,
) -> Status;

/// Takes the state to hand to the next generation; sets `*version` and `*state`.
pub type SaveState = unsafe extern "C" fn(
    instance: *mut c_void,
    call: *mut Call,
    version: *mut u32,
    state: *mut Value,
    fault: *mut Fault,
) -> Status;

/// Takes over what `save_state` of the generation before gave.
pub type LoadState = unsafe extern "C" fn(
    instance: *mut c_void,
    call: *mut Call,
    version: u32,
    state: *const Value,
    fault: *mut Fault,
) -> Status;

/// One signature: the result's type, then each parameter's, as tags.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// First tag: the result's type.
    pub types: *const u8,
    /// Number of tags: one more than parameters.
    pub types_len: usize,
}

/// One exported function. Static.
#[repr(C)]
pub struct Method {
    /// Bytes of this struct that the plugin knows.
    pub struct_size: u32,
    /// [`METHOD_IDEMPOTENT`] and [`METHOD_QUICK`].
    pub flags: u32,
    /// The name that clients call: ASCII letters, digits and `_ . : /`.
    pub name: Str,
    /// What `system.methodHelp` answers.
    pub help: Str,
    /// What `system.methodSignature` answers; may be NULL when `signatures_len` is 0.
    pub signatures: *const Signature,
    /// Number of signatures.
    pub signatures_len: usize,
    /// Any thread, many at once.
    pub invoke: Option<Invoke>,
}

/// The plugin's data symbol, [`SYMBOL`]. Static.
#[repr(C)]
pub struct Plugin {
    /// Bytes of this struct that the plugin knows.
    pub struct_size: u32,
    /// [`ABI_MAJOR`] of the header it was built with.
    pub abi_major: u32,
    /// [`ABI_MINOR`] of the header it was built with.
    pub abi_minor: u32,
    /// [`PLUGIN_LEAVES_NOTHING`].
    pub flags: u32,
    /// ASCII letters, digits, `-` and `_`; names its configuration and its data directory.
    pub name: Str,
    /// For people; by habit a semantic version.
    pub version: Str,
    /// One line for people.
    pub description: Str,
    /// First of `methods_len` pointers.
    pub methods: *const *const Method,
    /// Number of methods, at least 1.
    pub methods_len: usize,
    /// Loader thread. May be NULL: then the instance is NULL.
    pub create: Option<Create>,
    /// A thread of its own, after the last new call was started: end long calls soon. May be NULL.
    pub quiesce: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Loader thread, while calls may still run. May be NULL.
    pub save_state: Option<SaveState>,
    /// Loader thread, after `create` and before the first call. May be NULL.
    pub load_state: Option<LoadState>,
    /// A thread of its own, after the last call has returned and after `quiesce`. May be NULL.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Asks for an optional feature by its NUL-terminated id and least revision. May be NULL.
    pub extension: Option<unsafe extern "C" fn(id: *const c_char, revision: u32) -> *const c_void>,
}

/// The ELF note, in a section named `.note.hotcall`: what the host reads before any code runs.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// Length of `owner`.
    pub owner_len: u32,
    /// Length of what follows `owner`.
    pub descriptor_len: u32,
    /// [`NOTE_TYPE`].
    pub note_type: u32,
    /// [`NOTE_OWNER`].
    pub owner: [u8; 8],
    /// [`NOTE_MAGIC`].
    pub magic: u32,
    /// [`ABI_MAJOR`].
    pub abi_major: u32,
    /// [`ABI_MINOR`].
    pub abi_minor: u32,
}

impl Note {
    /// The note of a plugin built with this crate.
    pub const THIS: Self = Self {
        owner_len: 8,
        descriptor_len: 12,
        note_type: NOTE_TYPE,
        owner: NOTE_OWNER,
        magic: NOTE_MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
    };
}

impl Str {
    /// The empty text.
    pub const EMPTY: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// Borrows `text`. The caller keeps it alive.
    pub const fn new(text: &str) -> Self {
        Self { ptr: text.as_ptr(), len: text.len() }
    }
}

// SAFETY: a signature is immutable static data of the plugin.
unsafe impl Sync for Signature {}
// SAFETY: a method is immutable static data; its function is required to be callable on any thread.
unsafe impl Sync for Method {}
// SAFETY: a plugin's table is immutable static data; the header says on which thread each function
// runs.
unsafe impl Sync for Plugin {}

const _: () = {
    assert!(size_of::<*const u8>() == 8, "Hotcall's ABI is defined for 64-bit targets");
    assert!(size_of::<Str>() == 16 && align_of::<Str>() == 8);
    assert!(size_of::<DateTime>() == 16 && align_of::<DateTime>() == 4);
    assert!(size_of::<Payload>() == 16);
    assert!(
        size_of::<Value>() == 24 && align_of::<Value>() == 8 && offset_of!(Value, payload) == 8
    );
    assert!(size_of::<Member>() == 40 && offset_of!(Member, value) == 16);
    assert!(size_of::<Fault>() == 24 && offset_of!(Fault, message) == 8);
    assert!(size_of::<Call>() == 96 && offset_of!(Call, caller_name) == 48);
    assert!(size_of::<Host>() == 80 && offset_of!(Host, config) == 56);
    assert!(size_of::<Signature>() == 16);
    assert!(size_of::<Method>() == 64 && offset_of!(Method, invoke) == 56);
    assert!(size_of::<Plugin>() == 128 && offset_of!(Plugin, create) == 80);
    assert!(size_of::<Note>() == 32 && offset_of!(Note, magic) == 20);
};
