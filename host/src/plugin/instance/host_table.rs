//! What the host offers to a plugin: the functions behind `hotcall_call` and `hotcall_host`.
#![allow(unsafe_code, reason = "a plugin calls these with the pointers that it was given")]

use crate::registry::CallContext;
use crate::text;
use bumpalo::Bump;
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

/// Makes an instance's host table. It is kept for the process's life, as its library is: a thread that a plugin
/// left behind then finds its logger, not freed memory. `config` must live as long.
pub(crate) fn host_table(target: String, data_directory: String, config: abi::Value) -> &'static abi::Host {
    let target: &'static String = Box::leak(Box::new(target));
    Box::leak(Box::new(abi::Host {
        struct_size: size::<abi::Host>(),
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        reserved: 0,
        host_data: ptr::from_ref(target).cast_mut().cast(),
        version: abi::Str::new(concat!("hotcall ", env!("CARGO_PKG_VERSION"))),
        data_directory: abi::Str::new(data_directory.leak()),
        config: Box::leak(Box::new(config)),
        log: host_log,
        extension,
    }))
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
    let layout = Layout::from_size_align(size, align).ok().filter(|layout| layout.align() <= ALIGN_MAX);
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
    // SAFETY: the plugin passes the host table that it was given, which is never freed.
    let data = unsafe { (*host).host_data };
    // SAFETY: `host_table` put the address of a `String` there, which is never freed or written.
    let target: &String = unsafe { &*data.cast_const().cast() };
    // SAFETY: the plugin gives text that lives until this returns.
    let message = unsafe { log_line(message) };
    log::log!(target: target.as_str(), log_level(level), "{message}");
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
    bytes.map_or_else(|defect| format!("(a log message with {defect})"), |b| text::line_of(b, LOG_BYTES_MAX))
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
