//! The trait of a plugin with state. Knows nothing of how the host calls it.

use crate::fault::Fault;
use crate::host::Host;
use crate::value::Value;

/// The state of a plugin: one value for each time the plugin is loaded, given to methods as
/// `&self`.
///
/// Methods run on many threads at once, so whatever changes lives in a lock or an atomic. Dropping
/// the value is the instance's end: it happens after the last call has returned.
///
/// # Examples
/// ```
/// use hotcall_plugin::{Fault, Host, State, method};
/// use std::sync::atomic::{AtomicI32, Ordering};
///
/// struct Counter(AtomicI32);
///
/// impl State for Counter {
///     fn create(_host: Host) -> Result<Self, Fault> {
///         Ok(Self(AtomicI32::new(0)))
///     }
/// }
///
/// impl Counter {
///     /// Adds one and answers the sum.
///     #[method(name = "counter.increment")]
///     fn increment(&self) -> i32 {
///         self.0.fetch_add(1, Ordering::Relaxed) + 1
///     }
/// }
///
/// hotcall_plugin::plugin! { name: "counter", state: Counter, methods: [Counter::increment] }
/// # fn main() {}
/// ```
pub trait State: Send + Sync + Sized + 'static {
    /// Makes the state when the plugin is loaded, before any call.
    ///
    /// # Errors
    /// Whatever keeps the plugin from working. The host then refuses this version and keeps the one
    /// before.
    fn create(host: Host) -> Result<Self, Fault>;

    /// No new call will start: end long ones soon. Calls may still run.
    fn quiesce(&self) {}
}

/// State that the next version of the plugin takes over when it is reloaded.
///
/// Switch it on with `handover: true` in [`plugin!`](crate::plugin).
///
/// The host creates the new instance, asks the old one to [`save`](Self::save), gives that to the
/// new one to [`load`](Self::load), and swaps at once. Only when both versions have a hand-over is
/// there one; otherwise the new version starts with what [`State::create`] made.
///
/// # What calls change meanwhile
/// Calls to the old instance go on until the swap. What they change after `save` has looked at it
/// is lost to the new one. That is a short time, mostly that of `load`, and fine for caches,
/// counters and statistics. What may not lose anything belongs in [`Host::data_directory`]; or
/// `save` sets a flag that makes calls which change the state fail with a code that says "try
/// again", until [`State::quiesce`] or for a second at most: when the new version is refused, this
/// one goes on and is told nothing.
///
/// With `reload: exclusive` no call runs between `save` and the new version's first call, so
/// nothing is lost. `save` then comes before the new instance is created, and a version that has
/// both functions may also get its own state back.
///
/// # Examples
/// ```
/// # use hotcall_plugin::{Fault, Handover, Host, State, Value, method};
/// # use std::sync::atomic::{AtomicI32, Ordering};
/// # struct Counter(AtomicI32);
/// # impl State for Counter {
/// #     fn create(_host: Host) -> Result<Self, Fault> {
/// #         Ok(Self(AtomicI32::new(0)))
/// #     }
/// # }
/// # impl Counter {
/// #     #[method]
/// #     fn increment(&self) -> i32 {
/// #         self.0.fetch_add(1, Ordering::Relaxed) + 1
/// #     }
/// # }
/// impl Handover for Counter {
///     const VERSION: u32 = 1;
///
///     fn save(&self) -> Result<Value, Fault> {
///         Ok(self.0.load(Ordering::Relaxed).into())
///     }
///
///     fn load(&self, version: u32, state: Value) -> Result<(), Fault> {
///         match (version, state) {
///             (1, Value::Int(count)) => self.0.store(count, Ordering::Relaxed),
///             _ => return Err(Fault::error("state of a version that this one does not know")),
///         }
///         Ok(())
///     }
/// }
///
/// hotcall_plugin::plugin! {
///     name: "counter",
///     state: Counter,
///     handover: true,
///     methods: [Counter::increment],
/// }
/// # fn main() {}
/// ```
pub trait Handover: State {
    /// Names the form of the saved state. Raise it when the form changes.
    const VERSION: u32;

    /// The state to hand over, not larger than a result may be. Calls may still run, and go on when
    /// the new version is refused; then this may be asked again.
    ///
    /// # Errors
    /// When the state cannot be handed over. The host then keeps this version of the plugin, and
    /// asks again some times.
    fn save(&self) -> Result<Value, Fault>;

    /// Takes over what the version before saved, after [`State::create`] and before the first call.
    /// `version` is the [`VERSION`](Self::VERSION) of the one that saved: an older one's, or a
    /// newer one's when somebody goes back.
    ///
    /// # Errors
    /// When the state is of no use. The host then refuses this version of the plugin and keeps the
    /// one before.
    fn load(&self, version: u32, state: Value) -> Result<(), Fault>;
}
