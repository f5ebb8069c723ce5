//! The plugin's side of the ABI: the functions that the host calls, and the tables that lead to
//! them.
//!
//! Each function turns raw pointers into safe types, runs the author's code under `catch_unwind`,
//! and writes the answer into the call's memory. No panic leaves. Every field that is read here
//! and in `call` and `host` is part of ABI 1.0. Each host of major 1 has at least that, so no
//! `struct_size` is checked.
//!
//! Not for plugin authors: the macros' code comes here. Must not know how values convert.
#![allow(unsafe_code, reason = "the functions of the ABI, called by the host with raw pointers")]

use crate::arena::{Arena, Built};
use crate::call::Call;
use crate::fault::Fault;
use crate::from_value::FromValue;
use crate::host::Host;
use crate::into_value::IntoValue;
use crate::method::Spec;
use crate::state::{Handover, State};
use crate::tree::{Defect, Items, Tree, View};
use crate::value::Value;
use crate::{abi, panics};
use std::any::Any;
use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

/// Says of a method that any plugin can list it.
pub struct AnyPlugin;

/// Says of a method that it takes `&self` of `S`.
pub struct MethodOf<S>(PhantomData<fn(&S)>);

/// Which methods a plugin with state `S` can list.
#[diagnostic::on_unimplemented(
    message = "a plugin whose state is `{S}` cannot list a method of another type",
    label = "this is a `{Self}`",
    note = "name the type whose methods are listed: plugin! {{ ..., state: Type, ... }}"
)]
pub trait Fits<S> {}
impl<S> Fits<S> for AnyPlugin {}
impl<S> Fits<S> for MethodOf<S> {}

/// One exported method, of kind [`AnyPlugin`] or [`MethodOf`].
///
/// The table comes first, so that a pointer to it is what the host wants.
#[repr(C)]
pub struct Method<K> {
    table: abi::Method,
    spec: &'static Spec,
    kind: PhantomData<K>,
}

/// A method in the list of a plugin whose state is `S`: a pointer to its table, as the host reads
/// it.
#[repr(transparent)]
pub struct Listed<S>(&'static abi::Method, PhantomData<fn(&S)>);

/// What a plugin says of itself.
pub struct About {
    /// Checked by the macro.
    pub name: &'static str,
    /// For people.
    pub version: &'static str,
    /// For people.
    pub description: &'static str,
    /// No two instances may live at the same time.
    pub is_exclusive: bool,
}

impl Method<AnyPlugin> {
    /// A function that needs no state.
    pub const fn free<F>(spec: &'static Spec, _body: F) -> Self
    where
        F: for<'a> Fn(&'a Call, Items<'a>) -> Result<Built<'a>, Fault> + Copy + 'static,
    {
        Self::new(spec, invoke_free::<F>)
    }
}

impl<S: State> Method<MethodOf<S>> {
    /// A function that takes the plugin's state.
    pub const fn of_state<F>(spec: &'static Spec, _body: F) -> Self
    where
        F: for<'a> Fn(&'a S, &'a Call, Items<'a>) -> Result<Built<'a>, Fault> + Copy + 'static,
    {
        Self::new(spec, invoke_state::<S, F>)
    }
}

impl<K> Method<K> {
    const fn new(spec: &'static Spec, invoke: abi::Invoke) -> Self {
        let table = abi::Method {
            struct_size: size_u32::<abi::Method>(),
            flags: spec.flags,
            name: abi::Str::new(spec.name),
            help: abi::Str::new(spec.help),
            signatures: spec.signatures.as_ptr(),
            signatures_len: spec.signatures.len(),
            invoke: Some(invoke),
        };
        Self { table, spec, kind: PhantomData }
    }

    /// The name that clients call.
    pub const fn name(&self) -> &'static str {
        self.spec.name
    }
}

/// Puts a method in the list of a plugin whose state is `S`.
pub const fn list<S, K: Fits<S>>(method: &'static Method<K>) -> Listed<S> {
    Listed(&method.table, PhantomData)
}

/// Fails the build when the method at `index` has the name of one before it.
#[track_caller]
pub const fn first_of_its_name(names: &[&str], index: usize) {
    let (before, rest) = names.split_at(index);
    let mut before = before;
    while let (Some((name, others)), Some(this)) = (before.split_first(), rest.first()) {
        assert!(
            !same(name.as_bytes(), this.as_bytes()),
            "this plugin lists another method of the same name"
        );
        before = others;
    }
}

const fn same(mut a: &[u8], mut b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    while let (Some((x, a_rest)), Some((y, b_rest))) = (a.split_first(), b.split_first()) {
        if *x != *y {
            return false;
        }
        (a, b) = (a_rest, b_rest);
    }
    true
}

/// The instance of a plugin without state. It exists so that panics are reported to its host.
struct Stateless;

impl State for Stateless {
    fn create(_: Host) -> Result<Self, Fault> {
        Ok(Self)
    }
}

/// The table of a plugin without state.
pub const fn stateless(about: About, methods: &'static [Listed<()>]) -> abi::Plugin {
    abi::Plugin {
        create: Some(create::<Stateless>),
        destroy: Some(destroy::<Stateless>),
        ..table(about, methods)
    }
}

/// The table of a plugin with state.
pub const fn stateful<S: State>(about: About, methods: &'static [Listed<S>]) -> abi::Plugin {
    abi::Plugin {
        create: Some(create::<S>),
        quiesce: Some(quiesce::<S>),
        destroy: Some(destroy::<S>),
        ..table(about, methods)
    }
}

/// The table of a plugin whose state survives a reload.
pub const fn stateful_with_handover<S: Handover>(
    about: About,
    methods: &'static [Listed<S>],
) -> abi::Plugin {
    abi::Plugin {
        save_state: Some(save_state::<S>),
        load_state: Some(load_state::<S>),
        ..stateful(about, methods)
    }
}

const fn table<S>(about: About, methods: &'static [Listed<S>]) -> abi::Plugin {
    abi::Plugin {
        struct_size: size_u32::<abi::Plugin>(),
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        flags: 0,
        name: abi::Str::new(about.name),
        version: abi::Str::new(about.version),
        description: abi::Str::new(about.description),
        // `Listed` is transparent over a reference, which has the layout of the pointer that the
        // host reads.
        methods: methods.as_ptr().cast(),
        methods_len: methods.len(),
        create: None,
        quiesce: None,
        save_state: None,
        load_state: None,
        destroy: None,
        extension: if about.is_exclusive { Some(exclusive) } else { None },
    }
}

/// Declares that no two instances may live at the same time, and no other feature.
///
/// # Safety
/// As the ABI has it: `id` ends with a NUL.
unsafe extern "C" fn exclusive(id: *const c_char, revision: u32) -> *const c_void {
    const ID: &CStr = c"hotcall.exclusive";
    const REVISION: u32 = 1;
    // SAFETY: the host's text ends with a NUL.
    let is_it = unsafe { CStr::from_ptr(id) } == ID && revision <= REVISION;
    if is_it { ID.as_ptr().cast() } else { ptr::null() }
}

/// The tables are some hundred bytes long.
#[expect(clippy::cast_possible_truncation, reason = "checked by the assertion")]
const fn size_u32<T>() -> u32 {
    assert!(size_of::<T>() < 1 << 16);
    size_of::<T>() as u32
}

/// What an instance pointer points to.
struct Instance<S> {
    state: S,
    host: Host,
}

/// # Safety
/// As the ABI has it of [`abi::Invoke`]. `F` was given to [`Method::free`].
unsafe extern "C" fn invoke_free<F>(
    _instance: *mut c_void,
    call: *mut abi::Call,
    params: *const abi::Value,
    params_len: usize,
    result: *mut abi::Value,
    fault: *mut abi::Fault,
) -> abi::Status
where
    F: for<'a> Fn(&'a Call, Items<'a>) -> Result<Built<'a>, Fault> + Copy + 'static,
{
    let params = array(params, params_len);
    let work = |call: &Call| {
        // SAFETY: `Method::free` had a value of F.
        let body = unsafe { conjure::<F>() };
        // SAFETY: the host promises a tree of the ABI that lives until this function returns.
        let items = items(unsafe { Tree::new(&params) })?;
        let built = body(call, items)?;
        // SAFETY: the host's place for the result, which nothing else uses during the call.
        unsafe { result.write(built.raw()) };
        Ok(())
    };
    // SAFETY: the host promises valid `call` and `fault`.
    unsafe { guarded(call, fault, work) }
}

/// # Safety
/// As the ABI has it of [`abi::Invoke`], with an instance that [`create`] of the same `S` made. `F`
/// was given to [`Method::of_state`].
unsafe extern "C" fn invoke_state<S, F>(
    instance: *mut c_void,
    call: *mut abi::Call,
    params: *const abi::Value,
    params_len: usize,
    result: *mut abi::Value,
    fault: *mut abi::Fault,
) -> abi::Status
where
    S: State,
    F: for<'a> Fn(&'a S, &'a Call, Items<'a>) -> Result<Built<'a>, Fault> + Copy + 'static,
{
    let params = array(params, params_len);
    let work = |call: &Call| {
        // SAFETY: `Method::of_state` had a value of F.
        let body = unsafe { conjure::<F>() };
        // SAFETY: `create::<S>` made the instance, as the types of `list` and `stateful` see to; it
        // is shared until `destroy`, which comes after this call.
        let instance = unsafe { &*instance.cast::<Instance<S>>() };
        // SAFETY: the host promises a tree of the ABI that lives until this function returns.
        let items = items(unsafe { Tree::new(&params) })?;
        let built = body(&instance.state, call, items)?;
        // SAFETY: the host's place for the result, which nothing else uses during the call.
        unsafe { result.write(built.raw()) };
        Ok(())
    };
    // SAFETY: the host promises valid `call` and `fault`.
    unsafe { guarded(call, fault, work) }
}

/// # Safety
/// As the ABI has it of [`abi::Create`].
unsafe extern "C" fn create<S: State>(
    host: *const abi::Host,
    call: *mut abi::Call,
    instance: *mut *mut c_void,
    fault: *mut abi::Fault,
) -> abi::Status {
    let work = |_: &Call| {
        let table = NonNull::new(host.cast_mut()).ok_or(Fault::error("the host gave no table"))?;
        // SAFETY: the host's table is valid until `destroy` has returned, and `destroy` closes the
        // handle; when there is no instance to destroy, it is closed below.
        let host = unsafe { Host::new(table) }?;
        panics::report_to(&host);
        let closer = CloseOnDrop(&host);
        let state = S::create(host.clone())?;
        // From here on `destroy` closes it.
        let _ = ManuallyDrop::new(closer);
        let made = Box::into_raw(Box::new(Instance { state, host }));
        // SAFETY: the host's place for the instance.
        unsafe { instance.write(made.cast()) };
        Ok(())
    };
    // SAFETY: the host promises valid `call` and `fault`.
    unsafe { guarded(call, fault, work) }
}

/// # Safety
/// As the ABI has it, with an instance that [`create`] of the same `S` made.
unsafe extern "C" fn quiesce<S: State>(instance: *mut c_void) {
    // SAFETY: as in `invoke_state`.
    let instance = unsafe { &*instance.cast::<Instance<S>>() };
    report_panic(&instance.host, "quiesce", || instance.state.quiesce());
}

/// # Safety
/// As the ABI has it of [`abi::SaveState`], with an instance that [`create`] of the same `S` made.
unsafe extern "C" fn save_state<S: Handover>(
    instance: *mut c_void,
    call: *mut abi::Call,
    version: *mut u32,
    state: *mut abi::Value,
    fault: *mut abi::Fault,
) -> abi::Status {
    let work = |call: &Call| {
        // SAFETY: as in `invoke_state`.
        let instance = unsafe { &*instance.cast::<Instance<S>>() };
        let built = instance.state.save()?.into_value(Arena::new(call))?;
        // SAFETY: the host's place for the version.
        unsafe { version.write(S::VERSION) };
        // SAFETY: the host's place for the state.
        unsafe { state.write(built.raw()) };
        Ok(())
    };
    // SAFETY: the host promises valid `call` and `fault`.
    unsafe { guarded(call, fault, work) }
}

/// # Safety
/// As the ABI has it of [`abi::LoadState`], with an instance that [`create`] of the same `S` made.
unsafe extern "C" fn load_state<S: Handover>(
    instance: *mut c_void,
    call: *mut abi::Call,
    version: u32,
    state: *const abi::Value,
    fault: *mut abi::Fault,
) -> abi::Status {
    let work = |_: &Call| {
        // SAFETY: as in `invoke_state`.
        let instance = unsafe { &*instance.cast::<Instance<S>>() };
        // SAFETY: the host's value, or NULL, which `as_ref` sees.
        let state = unsafe { state.as_ref() }.unwrap_or(&abi::Value::NIL);
        // SAFETY: the host promises a tree of the ABI that lives until this function returns.
        let tree = unsafe { Tree::new(state) };
        let state = Value::from_value(tree)
            .map_err(|mismatch| Fault::error(mismatch.about("saved state")))?;
        instance.state.load(version, state)
    };
    // SAFETY: the host promises valid `call` and `fault`.
    unsafe { guarded(call, fault, work) }
}

/// # Safety
/// As the ABI has it, with an instance that [`create`] of the same `S` made and that nothing uses
/// any more.
unsafe extern "C" fn destroy<S: State>(instance: *mut c_void) {
    // SAFETY: `create` made it with `Box::into_raw`, and the host destroys it once.
    let instance = unsafe { Box::from_raw(instance.cast::<Instance<S>>()) };
    let Instance { state, host } = *instance;
    report_panic(&host, "drop", || drop(state));
    host.close();
}

/// Runs the author's code and turns what comes of it into a status. Nothing unwinds out of here.
///
/// # Safety
/// `call` and `fault` must be the host's, valid until this returns and used by this thread alone.
unsafe fn guarded(
    call: *mut abi::Call,
    fault: *mut abi::Fault,
    work: impl FnOnce(&Call) -> Result<(), Fault>,
) -> abi::Status {
    // SAFETY: the host's call table is not null.
    let call = unsafe { NonNull::new_unchecked(call) };
    // SAFETY: passed on from this function's own contract.
    let call = unsafe { Call::new(call) };
    // Dropping a panic's payload runs the author's code too.
    let (status, code, message) =
        call.run(|call| match catch_unwind(AssertUnwindSafe(|| work(call))) {
            Ok(Ok(())) => (abi::OK, None, Cow::Borrowed("")),
            Ok(Err(failure)) => {
                let code = failure.code();
                (if code.is_some() { abi::FAULT } else { abi::ERROR }, code, failure.into_message())
            }
            Err(payload) => (abi::PANIC, None, panic_text(payload)),
        });
    if status == abi::OK {
        return status;
    }
    let message = match message {
        Cow::Borrowed(text) => abi::Str::new(text),
        Cow::Owned(text) => abi::Str::new(
            Arena::new(&call).text(&text).unwrap_or("the call's memory does not hold the message"),
        ),
    };
    // SAFETY: the host's place for the fault; both fields are part of ABI 1.0.
    unsafe { (*fault).code = code.unwrap_or(0) };
    // SAFETY: as above.
    unsafe { (*fault).message = message };
    status
}

/// Runs author's code that has no way to report a failure but the log.
fn report_panic(host: &Host, what: &str, work: impl FnOnce()) {
    host.run(|| {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
            host.error(format_args!("{what} panicked: {}", panic_text(payload)));
        }
    });
}

/// What a panic said. The payload may panic itself when it is dropped, and so may what that throws;
/// the second is leaked.
fn panic_text(payload: Box<dyn Any + Send>) -> Cow<'static, str> {
    let text = match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => Cow::Borrowed(*text),
        (_, Some(text)) => Cow::Owned(text.clone()),
        _ => Cow::Borrowed("a panic without text"),
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _ = ManuallyDrop::new(second);
    }
    text
}

/// Makes another copy of a closure that captures nothing.
///
/// # Safety
/// A value of `F` must have existed.
const unsafe fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "a method's body captures nothing") };
    // SAFETY: a value of F existed; F is Copy, so it may be had again, and its size of zero leaves
    // nothing to read.
    unsafe { ptr::read(NonNull::<F>::dangling().as_ptr()) }
}

/// Parameters as one array, so that one reader checks all pointers.
const fn array(ptr: *const abi::Value, len: usize) -> abi::Value {
    abi::Value {
        tag: abi::ARRAY,
        reserved: 0,
        payload: abi::Payload { array: abi::Items { ptr, len } },
    }
}

#[inline]
fn items(params: Tree<'_>) -> Result<Items<'_>, Fault> {
    match params.view() {
        Ok(View::Array(items)) => Ok(items),
        Ok(_) => Err(Fault::error("the host's parameters are no array")),
        Err(defect) => Err(unreadable(defect)),
    }
}

#[cold]
fn unreadable(defect: Defect) -> Fault {
    Fault::error(format!("the host's parameters hold {defect}"))
}

struct CloseOnDrop<'a>(&'a Host);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
