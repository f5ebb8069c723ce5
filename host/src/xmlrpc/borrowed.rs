//! Decoded parameters as plugins take them: trees of the ABI in a [`Store`]. Must not know XML.
//!
//! Texts are borrowed from the document where possible, so a call allocates no memory for each
//! value and copies none. Documents that xml-rs decodes, and calls that change threads, become
//! owned values, which are lent to the plugin in the same form.
#![allow(unsafe_code, reason = "borrowed values are read through the pointers of the ABI")]

use super::resources::{Meter, Stop};
use super::unique::unique;
use bumpalo::Bump;
use hotcall_plugin::tree::{Items, Tree};
use hotcall_plugin::{DateTime, abi};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::{mem, slice};

/// Memory for small lists and texts that a thread keeps between documents. No document pays for it.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// The least that is reserved when a document needs more.
const STEP_BYTES: usize = 64 << 10;
/// A list or text that is larger is kept where it is. Smaller ones are copied together, so that
/// their memory is used again.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// Lists that wait to be filled again: more are in use only where so many arrays and structs are
/// within each other.
const SPARES_MAX: usize = 16;
/// The memory of one document's values.
#[derive(Default)]
pub struct Store {
    small: Bump,
    values: Lists<abi::Value>,
    members: Lists<abi::Member>,
    texts: RefCell<Vec<Vec<u8>>>,
}

/// One value. It cannot outlive the text and the store that it was made of.
#[derive(Clone, Copy)]
pub(crate) struct Borrowed<'a> {
    raw: abi::Value,
    from: PhantomData<&'a [u8]>,
}

/// The values of an array whose end is still to come.
pub(crate) struct List<'a> {
    raw: Vec<abi::Value>,
    from: PhantomData<&'a [u8]>,
}

/// The members of a struct whose end is still to come.
pub(crate) struct MemberList<'a> {
    raw: Vec<abi::Member>,
    from: PhantomData<&'a [u8]>,
}

/// Lists of one kind: large ones that are in use, and small ones that are not.
struct Lists<T> {
    large: RefCell<Vec<Vec<T>>>,
    spare: RefCell<Vec<Vec<T>>>,
}

impl Store {
    /// Runs `work` with an empty one. The thread keeps its memory for the next time, unless that is
    /// much.
    #[inline]
    pub fn with<R>(work: impl FnOnce(&Self) -> R) -> R {
        thread_local! {
            static KEPT: Cell<Option<Box<Store>>> = const { Cell::new(None) };
        }
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        let mut store = kept.unwrap_or_default();
        store.small.set_allocation_limit(Some(KEPT_BYTES_MAX));
        let result = work(&store);
        store.empty();
        // The thread may be past its thread-locals' end: then the store just goes.
        let _ = KEPT.try_with(|slot| slot.set(Some(store)));
        result
    }

    /// An empty list, to be filled and given back to [`Store::array`] or [`Store::items`].
    #[inline]
    pub(crate) fn list<'a>(&self) -> List<'a> {
        List { raw: self.values.spare(), from: PhantomData }
    }

    /// The same for [`Store::structure`].
    #[inline]
    pub(crate) fn member_list<'a>(&self) -> MemberList<'a> {
        MemberList { raw: self.members.spare(), from: PhantomData }
    }

    /// The list, to be read.
    #[inline]
    pub(crate) fn items<'a>(
        &'a self,
        list: List<'a>,
        meter: &Meter<'_>,
    ) -> Result<Items<'a>, Stop> {
        let items = self.values.keep(list.raw, &self.small, meter)?;
        // SAFETY: `Borrowed` and `List` hold only what safe code gave them for 'a: numbers, and
        // slices of texts and of this store.
        Ok(unsafe { Items::new(items) })
    }

    /// The list as an array.
    #[inline]
    pub(crate) fn array<'a>(
        &'a self,
        list: List<'a>,
        meter: &Meter<'_>,
    ) -> Result<Borrowed<'a>, Stop> {
        let items = self.values.keep(list.raw, &self.small, meter)?;
        let array = abi::Items { ptr: items.as_ptr(), len: items.len() };
        Ok(Borrowed::new(abi::ARRAY, abi::Payload { array }))
    }

    /// The list as a struct.
    #[inline]
    pub(crate) fn structure<'a>(
        &'a self,
        list: MemberList<'a>,
        meter: &Meter<'_>,
    ) -> Result<Borrowed<'a>, Stop> {
        let members = self.members.keep(list.raw, &self.small, meter)?;
        let structure = abi::Members { ptr: members.as_ptr(), len: members.len() };
        Ok(Borrowed::new(abi::STRUCT, abi::Payload { structure }))
    }

    /// Text that lives as long as the store at least.
    #[inline]
    pub(crate) fn text<'a>(
        &'a self,
        text: Cow<'a, str>,
        meter: &Meter<'_>,
    ) -> Result<&'a str, Stop> {
        match text {
            Cow::Borrowed(text) => Ok(text),
            Cow::Owned(text) => {
                let bytes = self.bytes(Cow::Owned(text.into_bytes()), meter)?;
                // SAFETY: they are the bytes of a `String`.
                Ok(unsafe { str::from_utf8_unchecked(bytes) })
            }
        }
    }

    /// A document that lives as long as the store. Its maker has reserved the memory for it.
    pub fn document<'a>(&'a self, document: Cow<'a, [u8]>) -> &'a [u8] {
        match document {
            Cow::Borrowed(document) => document,
            Cow::Owned(document) => keep(&self.texts, document),
        }
    }

    /// Like [`Store::text`], for bytes.
    pub(crate) fn bytes<'a>(
        &'a self,
        bytes: Cow<'a, [u8]>,
        meter: &Meter<'_>,
    ) -> Result<&'a [u8], Stop> {
        match bytes {
            Cow::Borrowed(bytes) => Ok(bytes),
            Cow::Owned(bytes) if bytes.len() <= COPIED_BYTES_MAX => {
                copy(&self.small, &bytes, meter)
            }
            Cow::Owned(bytes) => {
                meter.take(bytes.capacity())?;
                Ok(keep(&self.texts, bytes))
            }
        }
    }

    fn empty(&mut self) {
        self.small.reset();
        if self.small.allocated_bytes() > KEPT_BYTES_MAX {
            self.small = Bump::new();
        }
        self.values.large.get_mut().clear();
        self.members.large.get_mut().clear();
        self.texts.get_mut().clear();
    }
}

impl<'a> Borrowed<'a> {
    /// No value.
    pub(crate) const NIL: Self = Self::new(abi::NIL, abi::Payload { long: 0 });

    /// A boolean.
    pub(crate) fn boolean(value: bool) -> Self {
        Self::new(abi::BOOL, abi::Payload { boolean: value.into() })
    }

    /// 32 bits.
    pub(crate) const fn int(int: i32) -> Self {
        Self::new(abi::INT, abi::Payload { int })
    }

    /// 64 bits.
    pub(crate) const fn long(long: i64) -> Self {
        Self::new(abi::LONG, abi::Payload { long })
    }

    /// A double.
    pub(crate) const fn double(double: f64) -> Self {
        Self::new(abi::DOUBLE, abi::Payload { double })
    }

    /// Text.
    pub(crate) const fn string(text: &'a str) -> Self {
        Self::new(abi::STRING, abi::Payload { string: abi::Str::new(text) })
    }

    /// Bytes.
    pub(crate) const fn binary(bytes: &'a [u8]) -> Self {
        Self::new(
            abi::BINARY,
            abi::Payload { binary: abi::Str { ptr: bytes.as_ptr(), len: bytes.len() } },
        )
    }

    /// A date and time.
    pub(crate) fn date_time(value: DateTime) -> Self {
        Self::new(abi::DATETIME, abi::Payload { datetime: value.into() })
    }

    /// The value, to be read.
    pub(crate) const fn tree(&self) -> Tree<'_> {
        // SAFETY: as in `Store::items`.
        unsafe { Tree::new(&self.raw) }
    }

    const fn new(tag: u32, payload: abi::Payload) -> Self {
        Self { raw: abi::Value { tag, reserved: 0, payload }, from: PhantomData }
    }
}

impl<'a> List<'a> {
    /// Puts a value behind the others.
    #[inline]
    pub(crate) fn push(&mut self, value: Borrowed<'a>, meter: &Meter<'_>) -> Result<(), Stop> {
        meter.make_room(&mut self.raw, size_of::<abi::Value>())?;
        self.raw.push(value.raw);
        Ok(())
    }
}

impl<'a> MemberList<'a> {
    /// Puts a member behind the others.
    #[inline]
    pub(crate) fn push(
        &mut self,
        name: &'a str,
        value: Borrowed<'a>,
        meter: &Meter<'_>,
    ) -> Result<(), Stop> {
        meter.make_room(&mut self.raw, size_of::<abi::Member>())?;
        self.raw.push(abi::Member { name: abi::Str::new(name), value: value.raw });
        Ok(())
    }

    /// Has each name once: the last of a name wins and stands where the first stood.
    pub(crate) fn deduplicate(&mut self, meter: &Meter<'_>) -> Result<(), Stop> {
        self.raw = unique(mem::take(&mut self.raw), meter, |member| {
            // SAFETY: `push` had the name of a `str` that lives for 'a.
            unsafe { slice::from_raw_parts(member.name.ptr, member.name.len) }
        })?;
        Ok(())
    }
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { large: RefCell::default(), spare: RefCell::default() }
    }
}

impl<T: Copy> Lists<T> {
    #[inline]
    fn spare(&self) -> Vec<T> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// The items, for as long as the store is not emptied.
    #[inline]
    fn keep<'a>(
        &'a self,
        mut list: Vec<T>,
        small: &'a Bump,
        meter: &Meter<'_>,
    ) -> Result<&'a [T], Stop> {
        if list.capacity() * size_of::<T>() > COPIED_BYTES_MAX {
            return Ok(keep(&self.large, list));
        }
        let copy = copy(small, &list, meter)?;
        list.clear();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARES_MAX {
            spare.push(list);
        }
        Ok(copy)
    }
}

/// Copies a small list or text into the shared memory.
#[inline]
fn copy<'a, T: Copy>(small: &'a Bump, items: &[T], meter: &Meter<'_>) -> Result<&'a [T], Stop> {
    match small.try_alloc_slice_copy(items) {
        Ok(copy) => Ok(copy),
        Err(_) => {
            raise(small, meter)?;
            small.try_alloc_slice_copy(items).map(|copy| &*copy).map_err(|_| Stop::Crowded)
        }
    }
}

/// Raises the limit of the shared memory.
#[cold]
fn raise(small: &Bump, meter: &Meter<'_>) -> Result<(), Stop> {
    let limit = small.allocation_limit().unwrap_or_default();
    // Steps of a quarter: larger ones would reserve much that stays unused.
    let more = STEP_BYTES.max(limit / 4);
    meter.take(more)?;
    small.set_allocation_limit(Some(limit + more));
    Ok(())
}

/// Keeps a list. Dropping or changing kept lists needs exclusive access.
fn keep<T>(kept: &RefCell<Vec<Vec<T>>>, list: Vec<T>) -> &[T] {
    let (first, len) = (list.as_ptr(), list.len());
    kept.borrow_mut().push(list);
    // SAFETY: the items stay where they are when the list of lists grows, nobody writes to them,
    // and for the lists to be dropped or emptied nobody may borrow `kept` any more.
    unsafe { slice::from_raw_parts(first, len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::resources::Unlimited;
    use hotcall_plugin::{Value, View, tree::ReadLimits};

    const ANY: ReadLimits =
        ReadLimits { depth_max: 10, values_max: usize::MAX, bytes_max: usize::MAX };

    fn meter() -> Meter<'static> {
        Meter::new(&Unlimited)
    }

    #[test]
    fn what_is_built_is_read() {
        Store::with(|store| {
            let (document, meter) = (String::from("text"), &meter());
            let mut members = store.member_list();
            members.push("a", Borrowed::string(&document), meter).unwrap();
            let bytes = store.bytes(Cow::Owned(vec![1, 2]), meter).unwrap();
            members.push("b", Borrowed::binary(bytes), meter).unwrap();
            let text = store.text(Cow::Owned("owned".to_owned()), meter).unwrap();
            let mut list = store.list();
            for value in [
                Borrowed::int(5),
                store.structure(members, meter).unwrap(),
                store.array(store.list(), meter).unwrap(),
                Borrowed::string(text),
            ] {
                list.push(value, meter).unwrap();
            }
            let items = store.items(list, meter).unwrap();
            let read: Vec<Value> = items.iter().map(|tree| tree.to_value(ANY).unwrap()).collect();
            let members = vec![
                ("a".to_owned(), Value::from("text")),
                ("b".to_owned(), Value::Binary(vec![1, 2])),
            ];
            let expected = [
                Value::Int(5),
                Value::Struct(members),
                Value::Array(Vec::new()),
                Value::from("owned"),
            ];
            assert_eq!(read, expected);
        });
    }

    #[test]
    fn large_lists_and_texts_stay_where_they_were_made() {
        Store::with(|store| {
            let (long, meter) = ("x".repeat(2 * COPIED_BYTES_MAX), &meter());
            let first = long.as_ptr();
            let text = store.text(Cow::Owned(long), meter).unwrap();
            assert_eq!(text.as_ptr(), first);
            let mut list = store.list();
            for number in 0..i64::try_from(COPIED_BYTES_MAX).unwrap() {
                list.push(Borrowed::long(number), meter).unwrap();
            }
            let first = list.raw.as_ptr();
            // Others that are kept meanwhile leave it where it is.
            let items = store.items(list, meter).unwrap();
            assert_eq!(items.as_abi().unwrap().as_ptr(), first);
            for _ in 0..100 {
                store.text(Cow::Owned("y".repeat(COPIED_BYTES_MAX + 1)), meter).unwrap();
            }
            assert!(matches!(
                items.get(COPIED_BYTES_MAX - 1).unwrap().view(),
                Ok(View::Long(16_383))
            ));
            assert!(text.bytes().all(|byte| byte == b'x'));
        });
    }

    #[test]
    fn a_small_document_s_memory_is_used_again_and_a_large_one_s_is_not_kept() {
        let first = |count: i64| {
            Store::with(|store| {
                let (mut list, meter) = (store.list(), &meter());
                (0..count).for_each(|number| list.push(Borrowed::long(number), meter).unwrap());
                let first = list.raw.as_ptr();
                store.items(list, meter).unwrap();
                for _ in 0..count {
                    store.text(Cow::Owned("some text".to_owned()), meter).unwrap();
                }
                (first, store.small.allocated_bytes())
            })
        };
        assert_eq!(first(3), first(4));
        assert!(first(100_000).1 > KEPT_BYTES_MAX);
        assert!(first(1).1 <= KEPT_BYTES_MAX);
        Store::with(|store| assert!(store.values.large.borrow().is_empty()));
    }

    #[test]
    fn the_last_of_a_name_wins_and_stands_where_the_first_stood() {
        let deduplicated = |names: &[String]| {
            Store::with(|store| {
                let (mut list, meter) = (store.member_list(), &meter());
                for (number, name) in (0..).zip(names) {
                    list.push(name, Borrowed::int(number), meter).unwrap();
                }
                list.deduplicate(meter).unwrap();
                let structure = store.structure(list, meter).unwrap();
                let Ok(Value::Struct(members)) = structure.tree().to_value(ANY) else { panic!() };
                let number = |value| {
                    if let Value::Int(number) = value { number } else { panic!("{value:?}") }
                };
                members.into_iter().map(|(name, value)| (number(value), name)).collect::<Vec<_>>()
            })
        };
        for count in [0, 1, 2, 8, 9, 100] {
            let mut names: Vec<_> = (0..count).map(|number| number.to_string()).collect();
            let once: Vec<_> = (0..).zip(names.clone()).collect();
            assert_eq!(deduplicated(&names), once);
            names.extend(names.clone());
            let last: Vec<_> = (count..).zip(once.into_iter().map(|(_, name)| name)).collect();
            assert_eq!(deduplicated(&names), last);
        }
        assert_eq!(deduplicated(&[String::new(), String::new()]), [(1, String::new())]);
    }
}
