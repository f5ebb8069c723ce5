//! The only place where a call enters a plugin's instance. Another backend, such as a plugin in
//! its own process, would stand beside [`Live`].
//!
//! Turns statuses into faults. Internal errors are logged with the request's id; the client is
//! only told where to look.
#![allow(unsafe_code, reason = "calls a plugin's functions and reads what they return")]

use super::host_table::{self, Frame, LOG_BYTES_MAX};
use super::lend;
use crate::arena::{self, Arena};
use crate::limits::Limits;
use crate::plugin::library::image::Image;
use crate::plugin::library::table::Table;
use crate::plugin::refusal::Refusal;
use crate::registry::CallContext;
use crate::text;
use crate::xmlrpc::{Defect, Fault, Items, ReadLimits, Tree, Value, code};
use hotcall_plugin::abi;
use hotcall_plugin::tree;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// The message of a plugin's fault.
const FAULT_BYTES_MAX: usize = 64 << 10;

/// A plugin's instance: created, not yet destroyed.
pub(crate) struct Live {
    table: Table,
    instance: Handle,
    /// The log's target, `plugin::NAME`.
    target: String,
    /// Of a result; the call may ask for as many bytes besides.
    limits: ReadLimits,
}

/// The right and the duty to end an instance after its last call, on any thread. There is one for
/// each instance.
pub(crate) struct Ending {
    /// Until the plugin is told.
    quiesce: Option<Quiesce>,
    destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    instance: Handle,
    remains: Remains,
}

/// The right to tell an instance, once, that no new call will start.
pub(crate) struct Quiesce {
    quiesce: unsafe extern "C" fn(*mut c_void),
    instance: Handle,
}

/// What is left of a generation that was destroyed: its library.
pub(crate) struct Remains {
    image: Arc<Image>,
    leaves_nothing: bool,
}

/// Why a call has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The plugin's own fault, or the host's on its behalf.
    Fault(Fault),
    /// The plugin panicked; this is what the caller is told.
    Panic(Fault),
}

/// What one generation gives to the next.
#[derive(Debug)]
pub(crate) struct Saved {
    /// The form of the state, by the plugin's own numbering.
    version: u32,
    state: Value,
}

#[derive(Clone, Copy)]
struct Handle(*mut c_void);

// SAFETY: the header says that an instance is shared between threads, guards its own state, and may
// be created, called and destroyed on different ones. The host never looks behind the pointer.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Live {
    /// Makes an instance, and the right to end it. Loader thread only.
    ///
    /// # Errors
    /// The plugin's own words, or that it panicked.
    pub(crate) fn create(
        table: Table,
        plugin: &str,
        host: *const abi::Host,
        context: &CallContext,
        limits: &Limits,
    ) -> Result<(Self, Ending), Refusal> {
        let limits = ReadLimits {
            depth_max: limits.xml_depth_max,
            values_max: limits.xml_values_max,
            bytes_max: limits.response_bytes_max,
        };
        let target = log_target(plugin);
        let mut instance = ptr::null_mut();
        if let Some(create) = table.create {
            arena::with(|arena| {
                arena.set_allocation_limit(Some(limits.bytes_max));
                let frame = Frame { arena, exhausted: Cell::new(false), target: &target, context };
                let (mut call, mut fault) = (frame.table(), empty_fault());
                // SAFETY: the table was checked; `host` is what the image of this table keeps, the
                // rest outlives the call; this is the loader thread.
                let status =
                    unsafe { create(host, &raw mut call, &raw mut instance, &raw mut fault) };
                match status {
                    abi::OK => Ok(()),
                    abi::PANIC => Err(Refusal::CreatePanicked(said(&fault))),
                    _ => Err(Refusal::Create(said(&fault))),
                }
            })?;
        }
        let instance = Handle(instance);
        let ending = Ending::new(&table, instance);
        Ok((Self { table, instance, target, limits }, ending))
    }

    /// Calls a method. Its result stays where the plugin left it, and is checked as it is read.
    ///
    /// # Errors
    /// See [`Failure`].
    #[inline]
    pub(crate) fn invoke<'a>(
        &'a self,
        index: usize,
        method: &str,
        params: Items<'a>,
        arena: &'a Arena,
        context: &CallContext,
    ) -> Result<Tree<'a>, Failure> {
        let Some(invoke) = self.table.invokes.get(index) else {
            return Err(self
                .internal(method, context, &format!("there is no method {index}"))
                .into());
        };
        let params = params.as_abi().or_else(|values| lend::lend(arena, values));
        let (Ok(params), Ok(result)) = (params, arena.try_alloc(abi::Value::NIL)) else {
            return Err(self.internal(method, context, "no memory for the parameters").into());
        };
        // The parameters are bounded by what a request may hold; the limit is for what the plugin
        // asks for.
        arena.set_allocation_limit(Some(
            arena.allocated_bytes().saturating_add(self.limits.bytes_max),
        ));
        let frame = Frame { arena, exhausted: Cell::new(false), target: &self.target, context };
        let (mut call, mut fault) = (frame.table(), empty_fault());
        // SAFETY: the table was checked and its library is mapped; the instance was made by this
        // table's `create` and is not destroyed while its generation holds its gate or, without a
        // gate, while `self` lives; all pointers outlive the call.
        let status = unsafe {
            invoke(
                self.instance.0,
                &raw mut call,
                params.as_ptr(),
                params.len(),
                ptr::from_mut(result),
                &raw mut fault,
            )
        };
        Err(match status {
            // SAFETY: with `OK` the plugin promises a tree in the call's arena, static data or its
            // parameters. The arena and the parameters live for 'a, and nobody writes to them any
            // more. The library is mapped for 'a: `self` keeps it, and its generation's gate, where
            // there is one, is held until the result is dropped.
            abi::OK => return Ok(unsafe { Tree::new(result) }),
            abi::PANIC => return Err(Failure::Panic(self.panicked(method, context, &fault))),
            abi::FAULT => Fault::new(fault.code, said(&fault)),
            abi::ERROR if frame.exhausted.get() => self.too_large(method),
            abi::ERROR => Fault::new(code::APPLICATION, said(&fault)),
            other => {
                self.internal(method, context, &format!("it returned the unknown status {other}"))
            }
        }
        .into())
    }

    /// How much of a result may be read.
    pub(crate) const fn limits(&self) -> &ReadLimits {
        &self.limits
    }

    /// The fault for a result with this defect.
    pub(crate) fn refuse(&self, method: &str, defect: Defect, context: &CallContext) -> Fault {
        match defect {
            Defect::Bytes(_) => self.too_large(method),
            Defect::Values(max) => Fault::new(
                code::RESPONSE_TOO_LARGE,
                format!("the result of {method} has more than {max} values"),
            ),
            defect => self.internal(method, context, &format!("its result has {defect}")),
        }
    }

    /// Its library.
    pub(crate) const fn image(&self) -> &Arc<Image> {
        &self.table.image
    }

    /// Whether it has a state for the generation after it.
    pub(crate) const fn gives_state(&self) -> bool {
        self.table.save_state.is_some()
    }

    /// Whether it can take over what another generation saved.
    pub(crate) const fn takes_state(&self) -> bool {
        self.table.load_state.is_some()
    }

    /// Its state for the next generation, copied; None when it gives none. Calls may still run.
    /// Loader thread only.
    ///
    /// # Errors
    /// The plugin's own words, that it panicked, or why what it gave is no state.
    pub(crate) fn save_state(&self, context: &CallContext) -> Option<Result<Saved, String>> {
        let save_state = self.table.save_state?;
        Some(arena::with(|arena| {
            arena.set_allocation_limit(Some(self.limits.bytes_max));
            let frame = Frame { arena, exhausted: Cell::new(false), target: &self.target, context };
            let (mut call, mut fault) = (frame.table(), empty_fault());
            let (mut version, mut state) = (0, abi::Value::NIL);
            // SAFETY: the table was checked and its library is mapped; the instance is not
            // destroyed while `self` lives; all pointers outlive the call; the caller is the loader
            // thread.
            let status = unsafe {
                save_state(
                    self.instance.0,
                    &raw mut call,
                    &raw mut version,
                    &raw mut state,
                    &raw mut fault,
                )
            };
            match status {
                abi::OK => {}
                _ if frame.exhausted.get() => return Err(self.state_too_large()),
                status => return Err(failed(status, &fault)),
            }
            // SAFETY: with `OK` the plugin promises a tree in the call's arena or static data,
            // which both live until this call's arena is reset.
            let tree = unsafe { Tree::new(&state) };
            match tree.to_value(self.limits) {
                Ok(state) => Ok(Saved { version, state }),
                Err(Defect::Bytes(_)) => Err(self.state_too_large()),
                Err(defect) => Err(format!("the state has {defect}")),
            }
        }))
    }

    /// Gives it a saved state before its first call. Loader thread only.
    ///
    /// # Errors
    /// Why it does not take it: the plugin's own words, or that it panicked.
    pub(crate) fn load_state(&self, saved: &Saved, context: &CallContext) -> Result<(), String> {
        let Some(load_state) = self.table.load_state else { return Ok(()) };
        arena::with(|arena| {
            let state =
                lend::one(arena, &saved.state).map_err(|_| "no memory for the state".to_owned())?;
            arena.set_allocation_limit(Some(
                arena.allocated_bytes().saturating_add(self.limits.bytes_max),
            ));
            let frame = Frame { arena, exhausted: Cell::new(false), target: &self.target, context };
            let (mut call, mut fault) = (frame.table(), empty_fault());
            // SAFETY: the table was checked and its library is mapped; the instance is not
            // destroyed while `self` lives; all pointers outlive the call; the caller is the loader
            // thread.
            let status = unsafe {
                load_state(
                    self.instance.0,
                    &raw mut call,
                    saved.version,
                    &raw const state,
                    &raw mut fault,
                )
            };
            if status == abi::OK { Ok(()) } else { Err(failed(status, &fault)) }
        })
    }

    /// Its functions, for another instance once this one is destroyed.
    pub(crate) fn table(&self) -> Table {
        self.table.clone()
    }

    /// Whether it declares that no two of its instances may live at the same time.
    pub(crate) const fn is_exclusive(&self) -> bool {
        self.table.is_exclusive
    }

    fn state_too_large(&self) -> String {
        format!("the state is larger than {} bytes (response_bytes_max)", self.limits.bytes_max)
    }

    fn panicked(&self, method: &str, context: &CallContext, fault: &abi::Fault) -> Fault {
        let (id, text) =
            (&context.request_id, text::line_of(said(fault).as_bytes(), LOG_BYTES_MAX));
        log::error!(target: &self.target, "[{id}] {method} panicked: {text}");
        let public = format!(
            "method {method} panicked; the server's log has the details under request {id}"
        );
        Fault::new(code::PLUGIN_PANICKED, public)
    }

    fn internal(&self, method: &str, context: &CallContext, what: &str) -> Fault {
        let id = &context.request_id;
        log::error!(
            target: &self.target,
            "[{id}] {method} broke the plugin ABI: {what}; correct the plugin"
        );
        let public = format!(
            "internal error in method {method}; the server's log has the details under request {id}"
        );
        Fault::new(code::INTERNAL, public)
    }

    fn too_large(&self, method: &str) -> Fault {
        let max = self.limits.bytes_max;
        Fault::new(
            code::RESPONSE_TOO_LARGE,
            format!("the result of {method} is larger than {max} bytes"),
        )
    }
}

impl Ending {
    fn new(table: &Table, instance: Handle) -> Self {
        let remains =
            Remains { image: Arc::clone(&table.image), leaves_nothing: table.leaves_nothing };
        let quiesce = table.quiesce.map(|quiesce| Quiesce { quiesce, instance });
        Self { quiesce, destroy: table.destroy, instance, remains }
    }

    /// The right to tell the plugin that no new call will start, for the first who asks.
    pub(crate) const fn take_quiesce(&mut self) -> Option<Quiesce> {
        self.quiesce.take()
    }

    /// Tells the plugin that no new call will start, unless somebody has or was to.
    pub(crate) fn quiesce(&mut self) {
        if let Some(quiesce) = self.take_quiesce() {
            quiesce.tell();
        }
    }

    /// Destroys the instance.
    pub(crate) fn destroy(self) -> Remains {
        if let Some(destroy) = self.destroy {
            // SAFETY: there is one `Ending` for each instance and it is consumed here, so this
            // happens once; its owner parts with it when the last reference to the instance goes,
            // or when its gate is drained, so no call runs and none will; the library is mapped
            // until its remains are unmapped.
            unsafe { destroy(self.instance.0) }
        }
        self.remains
    }
}

impl Quiesce {
    /// Tells the plugin.
    pub(crate) fn tell(self) {
        let Handle(instance) = self.instance;
        // SAFETY: this is consumed, so it happens once, after the last call was started; who has it
        // keeps the instance from being destroyed meanwhile, by a reference to its generation or
        // its gate.
        unsafe { (self.quiesce)(instance) }
    }
}

impl Remains {
    /// Whether the plugin declares that it left nothing that uses its library.
    pub(crate) const fn leaves_nothing(&self) -> bool {
        self.leaves_nothing
    }

    /// The library.
    pub(crate) const fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Gives back what the library does not need while nobody uses it: memory, and disk space. It
    /// stays mapped.
    pub(crate) fn rest(&self) {
        self.image.rest();
        self.image.shrink();
    }

    /// Unmaps the library if the plugin declares that it left nothing. Whether it is gone. Loader
    /// thread only.
    pub(crate) fn unmap(self) -> bool {
        // SAFETY: remains are what `destroy` gives, once, when no reference to the instance and its
        // table is left; all that the host took from the library it copied; that nothing else uses
        // it the plugin declares, and plugins are trusted code.
        self.leaves_nothing && unsafe { self.image.close() }
    }
}

/// The log's target for a plugin.
pub(crate) fn log_target(plugin: &str) -> String {
    format!("plugin::{plugin}")
}

const fn empty_fault() -> abi::Fault {
    abi::Fault { struct_size: host_table::size::<abi::Fault>(), code: 0, message: abi::Str::EMPTY }
}

/// Why `save_state` or `load_state` failed, in one line.
fn failed(status: abi::Status, fault: &abi::Fault) -> String {
    let said = text::line_of(said(fault).as_bytes(), LOG_BYTES_MAX);
    match status {
        abi::FAULT | abi::ERROR => said,
        abi::PANIC => format!("it panicked: {said}"),
        other => format!("it returned the unknown status {other}"),
    }
}

/// A fault's message, cut to its limit.
fn said(fault: &abi::Fault) -> String {
    // One byte more than is shown, so that the cut is marked.
    let len = fault.message.len.min(FAULT_BYTES_MAX + 1);
    // SAFETY: the header requires the message to live in the call's arena, which is not reset yet,
    // or to be static.
    let bytes = unsafe { tree::slice_of(fault.message.ptr, len) };
    bytes.map_or_else(
        |_| "(the plugin's message could not be read)".into(),
        |b| text::cut(b, FAULT_BYTES_MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    static TOLD: AtomicU32 = AtomicU32::new(0);
    static DESTROYED: AtomicU32 = AtomicU32::new(0);

    unsafe extern "C" fn quiesce(_: *mut c_void) {
        TOLD.fetch_add(1, Ordering::Relaxed);
    }

    unsafe extern "C" fn destroy(_: *mut c_void) {
        DESTROYED.fetch_add(1, Ordering::Relaxed);
    }

    /// That it is destroyed once is what the types say: there is one `Ending`, and it is consumed.
    #[test]
    fn an_instance_is_told_and_destroyed_once() {
        let table = Table {
            create: None,
            quiesce: Some(quiesce),
            save_state: None,
            load_state: None,
            destroy: Some(destroy),
            image: Image::of_nothing(1, 1, 1),
            leaves_nothing: false,
            is_exclusive: false,
            invokes: Vec::new(),
        };
        let context = CallContext::of_the_server("create", Instant::now());
        let made = Live::create(table, "p", ptr::null(), &context, &Limits::default());
        let (live, mut ending) = made.expect("a plugin without create");
        let quiesce = ending.take_quiesce().expect("the first who asks");
        assert!(ending.take_quiesce().is_none());
        quiesce.tell();
        ending.quiesce();
        drop(live);
        assert!(!ending.destroy().leaves_nothing());
        let counts = [&TOLD, &DESTROYED].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 1]);
    }
}
