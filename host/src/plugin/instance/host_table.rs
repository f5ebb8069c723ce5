//! The host's functions for plugins, behind `hotcall_call` and `hotcall_host`.
#![allow(unsafe_code, reason = "a plugin calls these with the pointers that it was given")]

use super::lend;
use crate::registry::CallContext;
use crate::text;
use crate::xmlrpc::Value;
use bumpalo::{AllocErr, Bump};
use hotcall_plugin::{abi, tree};
use log::Level;
use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::ptr;
use std::time::Instant;

/// A line that a plugin logs.
pub(crate) const LOG_BYTES_MAX: usize = 8 << 10;
/// `hotcall_call.alloc` refuses more.
const ALIGN_MAX: usize = 64;

/// One call as the host sees it: what `hotcall_call.host_data` points to.
pub(crate) struct Frame<'a> {
    pub(crate) arena: &'a Bump,
    /// Whether the plugin asked for more memory than a call may have.
    pub(crate) exhausted: Cell<bool>,
    /// The log's target.
    pub(crate) target: &'a str,
    pub(crate) context: &'a CallContext,
}

impl Frame<'_> {
    /// The call's table. It borrows this frame without saying so: it must not outlive it.
    pub(crate) fn table(&self) -> abi::Call {
        abi::Call {
            struct_size: size::<abi::Call>(),
            reserved: 0,
            host_data: ptr::from_ref(self).cast_mut().cast(),
            alloc,
            remaining_ms,
            cancelled,
            log,
            caller_name: abi::Str::new(&self.context.caller_name),
            caller_address: abi::Str::new(&self.context.caller_address),
            request_id: abi::Str::new(&self.context.request_id),
        }
    }
}

/// What an instance is given for its life: its host table and what that points to. To be kept as
/// long as the library is mapped: a thread that a plugin left behind then finds its logger, not
/// freed memory.
pub(crate) struct HostMemory {
    arena: Bump,
    config: Value,
}

impl HostMemory {
    /// Makes an instance's host table, which lives in the memory that is given with it.
    ///
    /// # Errors
    /// There is no memory left.
    pub(crate) fn new(
        target: &str,
        data_directory: &str,
        config: Value,
    ) -> Result<(Self, *const abi::Host), AllocErr> {
        let arena = Bump::new();
        let target: &str = arena.try_alloc_str(target)?;
        let host_data = ptr::from_mut(arena.try_alloc(abi::Str::new(target))?);
        let data_directory = abi::Str::new(arena.try_alloc_str(data_directory)?);
        // What it borrows of `config` is on the heap, where moving `config` does not move it.
        let lent = lend::one(&arena, &config)?;
        let host = arena.try_alloc(abi::Host {
            struct_size: size::<abi::Host>(),
            abi_major: abi::ABI_MAJOR,
            abi_minor: abi::ABI_MINOR,
            reserved: 0,
            host_data: host_data.cast(),
            version: abi::Str::new(concat!("hotcall ", env!("CARGO_PKG_VERSION"))),
            data_directory,
            config: arena.try_alloc(lent)?,
            log: host_log,
            extension,
        })?;
        let host = ptr::from_mut(host).cast_const();
        Ok((Self { arena, config }, host))
    }

    /// What it takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.arena.allocated_bytes().saturating_add(heap_bytes(&self.config)) as u64
    }
}

/// What a value takes beside itself.
fn heap_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.capacity(),
        Value::Binary(bytes) => bytes.capacity(),
        Value::Array(items) => {
            items.capacity() * size_of::<Value>() + items.iter().map(heap_bytes).sum::<usize>()
        }
        Value::Struct(members) => {
            let inside = members.iter().map(|(name, value)| name.capacity() + heap_bytes(value));
            members.capacity() * size_of::<(String, Value)>() + inside.sum::<usize>()
        }
        _ => 0,
    }
}

/// A table's size as the ABI has it.
#[expect(clippy::cast_possible_truncation, reason = "the ABI's tables have about a hundred bytes")]
pub(crate) const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// # Safety
/// `call` is what [`Frame::table`] made, and the call still runs.
unsafe fn frame<'a>(call: *const abi::Call) -> &'a Frame<'a> {
    // SAFETY: the plugin passes the pointer that it was given, which is valid while the call runs.
    let data = unsafe { (*call).host_data };
    // SAFETY: `Frame::table` put a frame's address there, and the frame outlives the call.
    unsafe { &*data.cast_const().cast() }
}

unsafe extern "C" fn alloc(call: *mut abi::Call, size: usize, align: usize) -> *mut u8 {
    // SAFETY: called by a plugin with its call, while that runs, on its thread.
    let frame = unsafe { frame(call) };
    let layout =
        Layout::from_size_align(size, align).ok().filter(|layout| layout.align() <= ALIGN_MAX);
    let Some(layout) = layout else { return ptr::null_mut() };
    match frame.arena.try_alloc_layout(layout) {
        Ok(memory) => memory.as_ptr(),
        Err(_) => {
            frame.exhausted.set(true);
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn remaining_ms(call: *const abi::Call) -> u64 {
    // SAFETY: called by a plugin with its call, while that runs, on its thread.
    let frame = unsafe { frame(call) };
    let left = frame.context.deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

unsafe extern "C" fn cancelled(call: *const abi::Call) -> u8 {
    // SAFETY: called by a plugin with its call, while that runs, on its thread.
    let frame = unsafe { frame(call) };
    u8::from(frame.context.cancellation.is_cancelled() || Instant::now() >= frame.context.deadline)
}

unsafe extern "C" fn log(call: *const abi::Call, level: u32, message: abi::Str) {
    // SAFETY: called by a plugin with its call, while that runs, on its thread.
    let frame = unsafe { frame(call) };
    // SAFETY: the plugin gives text that lives until this returns.
    let message = unsafe { log_line(message) };
    log::log!(target: frame.target, log_level(level), "[{}] {message}", frame.context.request_id);
}

unsafe extern "C" fn host_log(host: *const abi::Host, level: u32, message: abi::Str) {
    // SAFETY: the plugin passes the host table that it was given, which lives as long as its
    // library.
    let data = unsafe { (*host).host_data };
    // SAFETY: `HostMemory::new` put the address of an `abi::Str` there, which lives as long and is
    // not written.
    let target: abi::Str = unsafe { *data.cast_const().cast() };
    // SAFETY: it is of a `str` in the same memory.
    let target = unsafe { tree::slice_of(target.ptr, target.len) }.unwrap_or_default();
    let target = str::from_utf8(target).unwrap_or_default();
    // SAFETY: the plugin gives text that lives until this returns.
    let message = unsafe { log_line(message) };
    log::log!(target: target, log_level(level), "{message}");
}

/// ABI 1.0 defines no extension.
unsafe extern "C" fn extension(_: *const abi::Host, _: *const c_char, _: u32) -> *const c_void {
    ptr::null()
}

/// # Safety
/// As [`tree::slice_of`], for the length of the call.
unsafe fn log_line(message: abi::Str) -> String {
    // One byte more than is shown, so that the cut is marked.
    let len = message.len.min(LOG_BYTES_MAX + 1);
    // SAFETY: passed on; the length is not longer than the plugin's.
    let bytes = unsafe { tree::slice_of(message.ptr, len) };
    bytes.map_or_else(
        |defect| format!("(a log message with {defect})"),
        |b| text::line_of(b, LOG_BYTES_MAX),
    )
}

const fn log_level(level: u32) -> Level {
    match level {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    }
}
