//! The memory where values are built: the running call's, or our own.
//!
//! A call's memory belongs to the host and outlives the method, so values built in it may be
//! returned. Our own memory serves conversions without a call, as in the client. No conversion
//! knows which it is. Must not know how Rust types map to values: that is `into_value`.
#![allow(unsafe_code, reason = "memory of the host becomes slices here")]

use crate::abi;
use crate::call::Call;
use crate::fault::Fault;
use crate::tree::Tree;
use crate::value::DateTime;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

/// Where the result of the running call is built. Only [`IntoValue`](crate::IntoValue) is handed
/// one, for any lifetime `'c`: what it returns can therefore hold nothing but what the arena, or a
/// constant, gave it.
#[derive(Clone, Copy)]
pub struct Arena<'c>(Memory<'c>);

#[derive(Clone, Copy)]
enum Memory<'c> {
    Call(&'c Call),
    Own(&'c OwnMemory),
}

/// Memory for values that cross no ABI. It keeps every block until its own end.
#[derive(Default)]
pub(crate) struct OwnMemory(RefCell<Vec<Vec<MaybeUninit<u64>>>>);

/// A finished value in the memory of the running call.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Built<'c> {
    raw: abi::Value,
    memory: PhantomData<&'c ()>,
}

impl<'c> Arena<'c> {
    pub(crate) const fn new(call: &'c Call) -> Self {
        Self(Memory::Call(call))
    }

    pub(crate) const fn of(memory: &'c OwnMemory) -> Self {
        Self(Memory::Own(memory))
    }

    /// Copies text, for the name of a member.
    ///
    /// # Errors
    /// When the call's memory limit is reached.
    pub fn text(self, text: &str) -> Result<&'c str, Fault> {
        let copy = self.copy(text.as_bytes())?;
        // SAFETY: `copy` holds the bytes of a `str`.
        Ok(unsafe { std::str::from_utf8_unchecked(copy) })
    }

    /// Makes an array. The items are built one after another, in order.
    ///
    /// # Errors
    /// The first error of an item, or when the call's memory limit is reached.
    pub fn array(
        self,
        items: impl ExactSizeIterator<Item = Result<Built<'c>, Fault>>,
    ) -> Result<Built<'c>, Fault> {
        let items = self.fill(items.map(|item| Ok(item?.raw)))?;
        let array = abi::Items { ptr: items.as_ptr(), len: items.len() };
        Ok(Built::new(abi::ARRAY, abi::Payload { array }))
    }

    /// Makes a struct. A name is a constant or comes from [`Arena::text`].
    ///
    /// # Errors
    /// The first error of a member, or when the call's memory limit is reached.
    pub fn structure(
        self,
        members: impl ExactSizeIterator<Item = Result<(&'c str, Built<'c>), Fault>>,
    ) -> Result<Built<'c>, Fault> {
        let members = self.fill(members.map(|member| {
            let (name, value) = member?;
            Ok(abi::Member { name: abi::Str::new(name), value: value.raw })
        }))?;
        let structure = abi::Members { ptr: members.as_ptr(), len: members.len() };
        Ok(Built::new(abi::STRUCT, abi::Payload { structure }))
    }

    pub(crate) fn string(self, text: &str) -> Result<Built<'c>, Fault> {
        let string = abi::Str::new(self.text(text)?);
        Ok(Built::new(abi::STRING, abi::Payload { string }))
    }

    pub(crate) fn binary(self, bytes: &[u8]) -> Result<Built<'c>, Fault> {
        let copy = self.copy(bytes)?;
        let binary = abi::Str { ptr: copy.as_ptr(), len: copy.len() };
        Ok(Built::new(abi::BINARY, abi::Payload { binary }))
    }

    fn copy(self, bytes: &[u8]) -> Result<&'c [u8], Fault> {
        let slots = self.slots::<u8>(bytes.len())?;
        let first = slots.as_mut_ptr().cast::<u8>();
        // SAFETY: `slots` is new memory of the same length, so it overlaps nothing.
        unsafe { bytes.as_ptr().copy_to_nonoverlapping(first, bytes.len()) };
        // SAFETY: the copy above wrote every byte; the memory lives for 'c.
        Ok(unsafe { slice::from_raw_parts(first, bytes.len()) })
    }

    /// Writes what `values` gives into new memory. An iterator that lies about its length loses
    /// what is past it.
    fn fill<T: Copy>(
        self,
        values: impl ExactSizeIterator<Item = Result<T, Fault>>,
    ) -> Result<&'c [T], Fault> {
        let slots = self.slots(values.len())?;
        let mut written = 0;
        for (slot, value) in slots.iter_mut().zip(values) {
            slot.write(value?);
            written += 1;
        }
        // SAFETY: the loop wrote the first `written` slots, and T has the layout of
        // `MaybeUninit<T>`.
        Ok(unsafe { slice::from_raw_parts(slots.as_ptr().cast(), written) })
    }

    fn slots<T: Copy>(self, len: usize) -> Result<&'c mut [MaybeUninit<T>], Fault> {
        if len == 0 {
            return Ok(&mut []);
        }
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Fault::too_large())?;
        let first = match self.0 {
            Memory::Call(call) => call.alloc(bytes, align_of::<T>()),
            Memory::Own(memory) => memory.alloc(bytes, align_of::<T>()),
        };
        let first = first.ok_or(Fault::too_large())?;
        // SAFETY: `bytes` bytes with T's alignment were given to this call of `slots` alone. They
        // live for 'c: the host's until the result is encoded, our own as long as `OwnMemory`.
        // MaybeUninit needs no initialisation.
        Ok(unsafe { slice::from_raw_parts_mut(first.cast().as_ptr(), len) })
    }
}

impl OwnMemory {
    /// Memory that nothing else uses. A block's place does not change when the list of blocks
    /// grows.
    fn alloc(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        if align > align_of::<u64>() {
            return None;
        }
        let mut block = Vec::new();
        block.try_reserve_exact(size.div_ceil(size_of::<u64>())).ok()?;
        let first = NonNull::new(block.as_mut_ptr())?.cast();
        self.0.try_borrow_mut().ok()?.push(block);
        Some(first)
    }
}

impl<'c> Built<'c> {
    /// The value, to be read.
    pub(crate) const fn tree(&'c self) -> Tree<'c> {
        // SAFETY: only this module makes a `Built`: of scalars, and of slices of an arena's memory,
        // which lives for 'c, or constants.
        unsafe { Tree::new(&self.raw) }
    }
}

impl Built<'_> {
    pub(crate) const NIL: Self = Self { raw: abi::Value::NIL, memory: PhantomData };

    pub(crate) const fn boolean(value: bool) -> Self {
        Self::new(abi::BOOL, abi::Payload { boolean: value as u8 })
    }

    pub(crate) const fn int(int: i32) -> Self {
        Self::new(abi::INT, abi::Payload { int })
    }

    pub(crate) const fn long(long: i64) -> Self {
        Self::new(abi::LONG, abi::Payload { long })
    }

    pub(crate) const fn double(double: f64) -> Self {
        Self::new(abi::DOUBLE, abi::Payload { double })
    }

    pub(crate) fn datetime(value: DateTime) -> Self {
        Self::new(abi::DATETIME, abi::Payload { datetime: value.into() })
    }

    pub(crate) const fn raw(&self) -> abi::Value {
        self.raw
    }

    const fn new(tag: u32, payload: abi::Payload) -> Self {
        Self { raw: abi::Value { tag, reserved: 0, payload }, memory: PhantomData }
    }
}
