//! The host's side: an arena with a limit, a log that is kept, and instances of the plugin under
//! test.

use crate::table::{method, table};
use hotcall_plugin::tree::{ReadLimits, Tree, str_of};
use hotcall_plugin::{Value, abi};
use std::alloc::{Layout, alloc, dealloc};
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex};

const LIMITS: ReadLimits = ReadLimits { depth_max: 100, values_max: 10_000, bytes_max: usize::MAX };

/// What a call came to, when it was not OK.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) status: abi::Status,
    pub(crate) code: i32,
    pub(crate) message: String,
}

pub(crate) type Log = Arc<Mutex<Vec<(u32, String)>>>;

/// A call's context; change a field before the call.
pub(crate) struct Context {
    pub(crate) remaining_ms: u64,
    pub(crate) cancelled: bool,
    pub(crate) arena_bytes_max: usize,
    pub(crate) log: Log,
    pub(crate) memory: Memory,
}

/// The blocks of an arena, and how many bytes they are.
#[derive(Default)]
pub(crate) struct Memory {
    used: Cell<usize>,
    blocks: RefCell<Vec<(*mut u8, Layout)>>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            remaining_ms: 1_500,
            cancelled: false,
            arena_bytes_max: 1 << 20,
            log: Log::default(),
            memory: Memory::default(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for (block, layout) in self.blocks.take() {
            // SAFETY: allocated by `allocate` with this layout.
            unsafe { dealloc(block, layout) };
        }
    }
}

impl Context {
    fn table(&self) -> abi::Call {
        abi::Call {
            struct_size: size_of::<abi::Call>() as u32,
            reserved: 0,
            host_data: (&raw const *self).cast_mut().cast(),
            alloc: call_alloc,
            remaining_ms: call_remaining_ms,
            cancelled: call_cancelled,
            log: call_log,
            caller_name: abi::Str::new("alice"),
            caller_address: abi::Str::new("192.0.2.1:4000"),
            request_id: abi::Str::new("r-7"),
        }
    }

    fn allocate(&self, size: usize, align: usize) -> *mut u8 {
        assert!(size > 0, "the SDK asks for no empty blocks");
        if self.memory.used.get() + size > self.arena_bytes_max {
            return null_mut();
        }
        self.memory.used.set(self.memory.used.get() + size);
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: the size is not zero.
        let block = unsafe { alloc(layout) };
        self.memory.blocks.borrow_mut().push((block, layout));
        block
    }
}

/// # Safety
/// `call` is a table of [`Context::table`] whose context lives.
unsafe fn context<'a>(call: *const abi::Call) -> &'a Context {
    // SAFETY: by this function's contract.
    let data = unsafe { (*call).host_data };
    // SAFETY: as above.
    unsafe { &*data.cast::<Context>() }
}

unsafe extern "C" fn call_alloc(call: *mut abi::Call, size: usize, align: usize) -> *mut u8 {
    // SAFETY: the SDK passes the table back.
    unsafe { context(call) }.allocate(size, align)
}

unsafe extern "C" fn call_remaining_ms(call: *const abi::Call) -> u64 {
    // SAFETY: the SDK passes the table back.
    unsafe { context(call) }.remaining_ms
}

unsafe extern "C" fn call_cancelled(call: *const abi::Call) -> u8 {
    // SAFETY: the SDK passes the table back.
    u8::from(unsafe { context(call) }.cancelled)
}

unsafe extern "C" fn call_log(call: *const abi::Call, level: u32, message: abi::Str) {
    // SAFETY: the message lives until this returns.
    let message = unsafe { str_of(message) }.unwrap().to_owned();
    // SAFETY: the SDK passes the table back.
    unsafe { context(call) }.log.lock().unwrap().push((level, message));
}

unsafe extern "C" fn host_log(host: *const abi::Host, level: u32, message: abi::Str) {
    // SAFETY: the message lives until this returns.
    let message = unsafe { str_of(message) }.unwrap().to_owned();
    // SAFETY: the SDK passes the table back.
    let log = unsafe { (*host).host_data }.cast::<Mutex<Vec<(u32, String)>>>();
    // SAFETY: `Instance` keeps the log.
    unsafe { &*log }.lock().unwrap().push((level, message));
}

unsafe extern "C" fn no_extension(_: *const abi::Host, _: *const c_char, _: u32) -> *const c_void {
    null()
}

/// Copies a value into a tree of the ABI, in the context's memory.
pub(crate) fn raw(value: &Value, context: &Context) -> abi::Value {
    let (tag, payload) = match value {
        Value::Nil => (abi::NIL, abi::Payload { long: 0 }),
        Value::Bool(value) => (abi::BOOL, abi::Payload { boolean: u8::from(*value) }),
        Value::Int(int) => (abi::INT, abi::Payload { int: *int }),
        Value::Long(long) => (abi::LONG, abi::Payload { long: *long }),
        Value::Double(double) => (abi::DOUBLE, abi::Payload { double: *double }),
        Value::String(text) => {
            (abi::STRING, abi::Payload { string: bytes(text.as_bytes(), context) })
        }
        Value::DateTime(value) => (abi::DATETIME, abi::Payload { datetime: (*value).into() }),
        Value::Binary(binary) => (abi::BINARY, abi::Payload { binary: bytes(binary, context) }),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| raw(item, context)).collect();
            let array = abi::Items { ptr: keep(&items, context), len: items.len() };
            (abi::ARRAY, abi::Payload { array })
        }
        Value::Struct(members) => {
            let member = |(name, value): &(String, Value)| abi::Member {
                name: bytes(name.as_bytes(), context),
                value: raw(value, context),
            };
            let members: Vec<_> = members.iter().map(member).collect();
            let structure = abi::Members { ptr: keep(&members, context), len: members.len() };
            (abi::STRUCT, abi::Payload { structure })
        }
    };
    abi::Value { tag, reserved: 0, payload }
}

fn bytes(bytes: &[u8], context: &Context) -> abi::Str {
    abi::Str { ptr: keep(bytes, context), len: bytes.len() }
}

fn keep<T: Copy>(items: &[T], context: &Context) -> *const T {
    if items.is_empty() {
        return null();
    }
    let place = context.allocate(size_of_val(items), align_of::<T>()).cast::<T>();
    // SAFETY: new memory of this size and alignment.
    unsafe { place.copy_from_nonoverlapping(items.as_ptr(), items.len()) };
    place
}

/// A created instance of the plugin; dropping it destroys it.
pub(crate) struct Instance {
    raw: *mut c_void,
    pub(crate) log: Log,
    // Boxed, because the SDK keeps its address.
    host: Box<abi::Host>,
    /// Holds the configuration.
    _context: Context,
}

impl Instance {
    pub(crate) fn create(config: Value) -> Result<Self, (Failure, Log)> {
        let (log, context) = (Log::default(), Context::default());
        let config = [raw(&config, &context)];
        let host = Box::new(abi::Host {
            struct_size: size_of::<abi::Host>() as u32,
            abi_major: abi::ABI_MAJOR,
            abi_minor: abi::ABI_MINOR,
            reserved: 0,
            host_data: Arc::as_ptr(&log).cast_mut().cast(),
            version: abi::Str::new("fake 1.2.3"),
            data_directory: abi::Str::new("/var/lib/fake"),
            config: keep(&config, &context),
            log: host_log,
            extension: no_extension,
        });
        let mut instance = Self { raw: null_mut(), log, host, _context: context };
        let create = table().create.unwrap();
        let context = Context::default();
        let made = settle(&context, |call, fault| {
            // SAFETY: all pointers are valid for the call, and the host's table until `destroy`.
            unsafe { create(&raw const *instance.host, call, &raw mut instance.raw, fault) }
        });
        match made {
            Ok(()) => Ok(instance),
            Err(failure) => Err((failure, instance.log.clone())),
        }
    }

    pub(crate) fn new() -> Self {
        Self::create(Value::Struct(vec![])).map_err(|(failure, _)| failure).unwrap()
    }

    pub(crate) fn call(&self, method: &str, params: &[Value]) -> Result<Value, Failure> {
        self.call_in(&Context::default(), method, params)
    }

    pub(crate) fn call_in(
        &self,
        context: &Context,
        method: &str,
        params: &[Value],
    ) -> Result<Value, Failure> {
        // The parameters have memory of their own, so that a test can limit the result's alone.
        let memory = Context::default();
        let params: Vec<_> = params.iter().map(|value| raw(value, &memory)).collect();
        self.invoke(context, method, &params)
    }

    /// As `call`, with parameters that the test may have broken.
    pub(crate) fn call_raw(&self, method: &str, params: &[abi::Value]) -> Result<Value, Failure> {
        self.invoke(&Context::default(), method, params)
    }

    fn invoke(
        &self,
        context: &Context,
        method: &str,
        params: &[abi::Value],
    ) -> Result<Value, Failure> {
        let invoke = self::method(method).invoke.unwrap();
        let mut result = abi::Value::NIL;
        settle(context, |call, fault| {
            // SAFETY: all pointers are valid for the call.
            unsafe { invoke(self.raw, call, params.as_ptr(), params.len(), &raw mut result, fault) }
        })?;
        // SAFETY: the result lives in `context`.
        Ok(unsafe { Tree::new(&result) }.to_value(LIMITS).unwrap())
    }

    pub(crate) fn quiesce(&self) {
        // SAFETY: the instance lives.
        unsafe { table().quiesce.unwrap()(self.raw) };
    }

    pub(crate) fn save(&self) -> Result<(u32, Value), Failure> {
        let (context, mut version, mut state) = (Context::default(), 0, abi::Value::NIL);
        let save = table().save_state.unwrap();
        settle(&context, |call, fault| {
            // SAFETY: all pointers are valid for the call.
            unsafe { save(self.raw, call, &raw mut version, &raw mut state, fault) }
        })?;
        // SAFETY: the state lives in `context`.
        Ok((version, unsafe { Tree::new(&state) }.to_value(LIMITS).unwrap()))
    }

    pub(crate) fn load(&self, version: u32, state: &Value) -> Result<(), Failure> {
        let (context, memory) = (Context::default(), Context::default());
        let state = raw(state, &memory);
        let load = table().load_state.unwrap();
        // SAFETY: all pointers are valid for the call.
        settle(&context, |call, fault| unsafe {
            load(self.raw, call, version, &raw const state, fault)
        })
    }

    pub(crate) fn logged(&self) -> Vec<(u32, String)> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: created, and not used after this.
            unsafe { table().destroy.unwrap()(self.raw) };
        }
    }
}

/// Runs one function of the plugin and reads its fault.
fn settle(
    context: &Context,
    function: impl FnOnce(*mut abi::Call, *mut abi::Fault) -> abi::Status,
) -> Result<(), Failure> {
    let mut call = context.table();
    let mut fault = abi::Fault {
        struct_size: size_of::<abi::Fault>() as u32,
        code: 0,
        message: abi::Str::EMPTY,
    };
    match function(&raw mut call, &raw mut fault) {
        abi::OK => Ok(()),
        status => {
            // SAFETY: the message is static or lives in the context.
            let message = unsafe { str_of(fault.message) }.unwrap().to_owned();
            Err(Failure { status, code: fault.code, message })
        }
    }
}
