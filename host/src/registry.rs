//! The registry: an immutable snapshot from names to methods, swapped atomically.
//!
//! A call keeps its snapshot to its end, and a snapshot keeps its plugins' generations. A swap
//! therefore never takes code from under a running call, and `system.multicall` sees one set of
//! methods. Knows no files, no dlopen, no XML: an [`Instance`] is anything that can be called.

mod gate;

pub use gate::{Gate, Inside};

use crate::arena::Arena;
use crate::cancellation::Cancellation;
use crate::queue::Key;
use crate::xmlrpc::{Defect, Fault, Items, ReadLimits, Tree, Value, code};
use arc_swap::{ArcSwap, Guard};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// The live registry. Readers never wait; the plugin life cycle is its only writer.
#[derive(Default)]
pub struct Registry(ArcSwap<Snapshot>);

/// All methods at one moment, by name.
#[derive(Default, Clone)]
pub struct Snapshot {
    methods: BTreeMap<String, Method>,
    has_gates: bool,
}

/// One registered method.
#[derive(Clone)]
pub struct Method {
    /// What clients and introspection are told.
    pub info: Arc<MethodInfo>,
    /// Who answers.
    pub instance: Arc<dyn Instance>,
    /// Which of the instance's methods.
    pub index: usize,
    /// Whether it may be called where nothing may wait.
    pub promise: Arc<Promise>,
    /// Where its calls wait for a worker.
    pub queue: Key,
    /// What a call must enter before it invokes the instance, where the instance has such a gate.
    pub gate: Option<Arc<Gate>>,
}

/// A method's promise to be quick, for as long as it is kept.
#[derive(Debug)]
pub struct Promise(AtomicU8);

const KEPT: u8 = 0;
/// After a call that was not quick so many must be that it is kept again.
const DOUBT_CALLS: u8 = 100;
const BROKEN: u8 = u8::MAX;

impl Promise {
    /// One that is given, or not.
    pub const fn new(is_given: bool) -> Self {
        Self(AtomicU8::new(if is_given { KEPT } else { BROKEN }))
    }

    /// Whether it was given and not broken.
    pub fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed) != BROKEN
    }

    /// A call was quick.
    pub fn keep(&self) {
        let doubt = self.0.load(Ordering::Relaxed);
        if (1..=DOUBT_CALLS).contains(&doubt) {
            // Another thread's call may count instead.
            self.change(doubt, doubt - 1);
        }
    }

    /// A call was not quick. `true` when another one shortly before was not either.
    pub fn doubt(&self) -> bool {
        !self.change(KEPT, DOUBT_CALLS)
    }

    /// It was not kept. `true` for the first who says so.
    pub fn break_for_good(&self) -> bool {
        self.0.swap(BROKEN, Ordering::Relaxed) != BROKEN
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What introspection says of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodInfo {
    /// The name that clients call.
    pub name: String,
    /// What `system.methodHelp` answers.
    pub help: String,
    /// Each signature: the result's type name, then each parameter's. Empty when none is declared.
    pub signatures: Vec<Vec<&'static str>>,
    /// Calling it twice does no more than calling it once.
    pub idempotent: bool,
    /// It never blocks and returns within microseconds.
    pub quick: bool,
}

/// One call's circumstances.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// When nobody waits any more.
    pub deadline: Instant,
    /// Who calls; empty when not authenticated.
    pub caller_name: SmolStr,
    /// Where the call came from, as text; empty when there is no address.
    pub caller_address: SmolStr,
    /// The same without the port.
    pub caller_ip: Option<IpAddr>,
    /// The id under which the log speaks of this request.
    pub request_id: SmolStr,
    /// Whether its caller has gone.
    pub cancellation: Cancellation,
}

impl CallContext {
    /// A call that the server makes itself, such as of a plugin's `create`: nobody's, and from
    /// nowhere. `what` stands in the log where another call has its request's id.
    pub fn of_the_server(what: &str, deadline: Instant) -> Self {
        Self {
            deadline,
            caller_name: SmolStr::default(),
            caller_address: SmolStr::default(),
            caller_ip: None,
            request_id: what.into(),
            cancellation: Cancellation::default(),
        }
    }
}

/// Something that answers calls: a plugin's instance behind whatever boundary. Dropping the last
/// reference ends it.
pub trait Instance: Send + Sync {
    /// Calls the method with this index, and gives it this memory.
    ///
    /// # Errors
    /// The plugin's fault, or the host's on the plugin's behalf.
    fn invoke<'a>(
        &'a self,
        index: usize,
        params: Items<'a>,
        arena: &'a Arena,
        context: &'a CallContext,
    ) -> Result<Answer<'a>, Fault>;

    /// Notes that a result which this method left in its place cannot be read, and gives the fault
    /// to answer with.
    fn refuse(&self, index: usize, defect: Defect, context: &CallContext) -> Fault;
}

/// The result of a call.
pub enum Answer<'a> {
    /// One that is copied, or was made by the server itself.
    Owned(Value),
    /// One that is where the instance left it.
    InPlace(InPlace<'a>),
}

/// A result that nobody has checked or copied. It may lie in the call's arena, in its parameters or
/// in memory that lives as long as the instance, so it borrows all three.
pub struct InPlace<'a> {
    tree: Tree<'a>,
    limits: &'a ReadLimits,
    instance: &'a dyn Instance,
    index: usize,
    context: &'a CallContext,
    _inside: Option<Inside>,
    _running: Option<Running>,
}

impl<'a> InPlace<'a> {
    /// The result that a method of this instance left, to be read within these limits. The instance
    /// is not destroyed before it: `inside` says so to the instance's gate, if it has one.
    #[inline]
    pub const fn new(
        tree: Tree<'a>,
        limits: &'a ReadLimits,
        instance: &'a dyn Instance,
        index: usize,
        context: &'a CallContext,
        inside: Option<Inside>,
    ) -> Self {
        Self { tree, limits, instance, index, context, _inside: inside, _running: None }
    }
}

/// One of the calls of a method that run at a time. It counts until this is dropped.
#[derive(Debug)]
pub struct Running(Arc<AtomicUsize>);

impl Running {
    /// Counts one more call, unless `max` of them run.
    pub fn begin(running: &Arc<AtomicUsize>, max: NonZeroUsize) -> Option<Self> {
        let one_more = |count: usize| (count < max.get()).then_some(count + 1);
        let begun = running.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        begun.is_ok().then(|| Self(Arc::clone(running)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Answer<'_> {
    /// Keeps counting the call until the result has been read. An owned result needs nothing of its
    /// method any more, so its call ends here.
    #[inline]
    pub fn hold(&mut self, running: Running) {
        if let Self::InPlace(result) = self {
            result._running = Some(running);
        }
    }

    /// The result, to be read within [`Answer::limits`].
    #[inline]
    pub fn tree(&self) -> Tree<'_> {
        match self {
            Self::Owned(value) => value.into(),
            Self::InPlace(result) => result.tree,
        }
    }

    /// How much of the result may be read.
    #[inline]
    pub const fn limits(&self) -> ReadLimits {
        match self {
            Self::Owned(_) => ReadLimits::NONE,
            Self::InPlace(result) => *result.limits,
        }
    }

    /// The fault for a result in which its reader found this.
    pub fn refuse(&self, defect: Defect) -> Fault {
        match self {
            Self::Owned(_) => Fault::new(code::INTERNAL, format!("the result has {defect}")),
            Self::InPlace(InPlace { instance, index, context, .. }) => {
                instance.refuse(*index, defect, context)
            }
        }
    }

    /// The result by itself.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn into_value(self) -> Result<Value, Fault> {
        match self {
            Self::Owned(value) => Ok(value),
            Self::InPlace(InPlace { tree, limits, .. }) => {
                tree.to_value(*limits).map_err(|defect| self.refuse(defect))
            }
        }
    }
}

impl From<Value> for Answer<'_> {
    fn from(value: Value) -> Self {
        Self::Owned(value)
    }
}

/// What operators may ask of the registry's writer. Dispatch gets one and need not know whose.
pub trait Control: Send + Sync {
    /// What is known of each plugin file: an array of structs.
    fn plugins(&self) -> Value;

    /// Reloads a plugin from its file, waits for that until `deadline`, and returns its struct of
    /// [`Control::plugins`]. Only so many callers may wait at one time, because each of them takes
    /// a worker from all other calls.
    ///
    /// # Errors
    /// Why there is no new generation of it, or not yet.
    fn reload(&self, plugin: &str, deadline: Instant) -> Result<Value, Fault>;
}

impl Registry {
    /// The methods of this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// The same for a short look: cheaper to get than a snapshot, but not to be kept.
    #[inline]
    pub fn glance(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Replaces all methods at once; calls that run keep the snapshot they began with. Gives the
    /// one before, which is gone once no call has it any more.
    pub fn publish(&self, snapshot: Snapshot) -> Weak<Snapshot> {
        Arc::downgrade(&self.0.swap(Arc::new(snapshot)))
    }
}

impl Snapshot {
    /// The method of that name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    /// Whether any method has a gate.
    pub const fn has_gates(&self) -> bool {
        self.has_gates
    }

    /// All methods, sorted by name.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }
}

impl FromIterator<Method> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        let methods: BTreeMap<_, _> =
            methods.into_iter().map(|method| (method.info.name.clone(), method)).collect();
        Self { has_gates: methods.values().any(|method| method.gate.is_some()), methods }
    }
}
