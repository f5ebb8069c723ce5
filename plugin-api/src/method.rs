//! How one method is described and how its parameters are read: the basis of the macros' code.
//!
//! Not for plugin authors. Must not touch raw memory: that is `export`.

use crate::abi;
use crate::arena::{Arena, Built};
use crate::call::Call;
use crate::fault::Fault;
use crate::from_value::{FromValue, Mismatch};
use crate::into_value::Outcome;
use crate::tree::Items;
use crate::types::Type;
use std::fmt;

/// One parameter, as signatures and messages speak of it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    name: &'static str,
    ty: Type,
    optional: bool,
}

/// A method's description.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name that clients call.
    pub name: &'static str,
    /// The author's doc comment.
    pub help: &'static str,
    /// Flags of the ABI.
    pub flags: u32,
    /// In order, without `&self` and `&Call`.
    pub parameters: &'static [Parameter],
    /// One for each number of parameters that may be given, unless the author wrote them.
    pub signatures: &'static [abi::Signature],
}

/// The parameters of one call, read in order.
pub struct Arguments<'a> {
    spec: &'static Spec,
    call: &'a Call,
    items: Items<'a>,
    index: usize,
}

impl Parameter {
    /// Describes a parameter of type `T`.
    pub const fn of<'a, T: FromValue<'a>>(name: &'static str) -> Self {
        Self { name, ty: T::TYPE, optional: T::OPTIONAL }
    }
}

/// A signature's tags in the ABI's form.
pub const fn signature(types: &'static [Type]) -> abi::Signature {
    abi::Signature { types: types.as_ptr().cast(), types_len: types.len() }
}

/// The signature with all parameters, then with ever fewer, down to the result alone.
pub const fn signatures<const N: usize>(types: &'static [Type; N]) -> [abi::Signature; N] {
    let mut all = [signature(&[]); N];
    let mut rest: &'static [Type] = types;
    let mut at = 0;
    while let Some((_, shorter)) = rest.split_last() {
        // The loop runs N times: once for each type in `rest`.
        #[expect(
            clippy::indexing_slicing,
            reason = "an index past the end would fail the plugin's build"
        )]
        {
            all[at] = signature(rest);
        }
        rest = shorter;
        at += 1;
    }
    all
}

/// Of [`signatures`], those that leave out optional parameters only.
pub const fn callable(
    all: &'static [abi::Signature],
    parameters: &[Parameter],
) -> &'static [abi::Signature] {
    all.split_at(parameters.len() - required(parameters) + 1).0
}

/// How many parameters must be given: all up to the last that is not optional.
const fn required(parameters: &[Parameter]) -> usize {
    let mut rest = parameters;
    while let Some((Parameter { optional: true, .. }, before)) = rest.split_last() {
        rest = before;
    }
    rest.len()
}

impl<'a> Arguments<'a> {
    /// Counts the parameters.
    ///
    /// # Errors
    /// When there are too few or too many.
    #[inline]
    pub fn open(spec: &'static Spec, call: &'a Call, items: Items<'a>) -> Result<Self, Fault> {
        let given = items.len();
        if given < required(spec.parameters) || given > spec.parameters.len() {
            return Err(miscounted(spec, given));
        }
        Ok(Self { spec, call, items, index: 0 })
    }

    /// The next parameter.
    ///
    /// # Errors
    /// When it is not a `T`.
    #[inline]
    pub fn take<T: FromValue<'a>>(&mut self) -> Result<T, Fault> {
        let index = self.index;
        self.index += 1;
        let read = match self.items.get(index) {
            Some(tree) => T::from_value(tree),
            None => T::absent().ok_or_else(|| nothing_for(T::TYPE)),
        };
        read.map_err(|mismatch| mismatched(self.spec, index, &mismatch))
    }

    /// Builds what the method answered.
    ///
    /// # Errors
    /// The method's own, or when the call's memory limit is reached.
    pub fn finish(&self, outcome: impl Outcome) -> Result<Built<'a>, Fault> {
        outcome.finish(Arena::new(self.call))
    }
}

#[cold]
fn miscounted(spec: &Spec, given: usize) -> Fault {
    Fault::invalid_params(format!("{} takes {}, got {given}", spec.name, Wanted(spec)))
}

#[cold]
fn nothing_for(wanted: Type) -> Mismatch {
    Mismatch::because(format!("wants {}, got nothing", wanted.name()))
}

#[cold]
fn mismatched(spec: &Spec, index: usize, mismatch: &Mismatch) -> Fault {
    let name = spec.parameters.get(index).map_or("", |parameter| parameter.name);
    let subject = format_args!("parameter {} ({name})", index + 1);
    Fault::invalid_params(format!("{}: {}", spec.name, mismatch.about(subject)))
}

/// How many parameters a method takes, and which:
/// `1 to 2 parameters (name: string, [title: string])`.
struct Wanted<'a>(&'a Spec);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = self.0.parameters;
        let (least, most) = (required(parameters), parameters.len());
        if most == 0 {
            return f.write_str("no parameters");
        }
        if least < most {
            write!(f, "{least} to ")?;
        }
        write!(f, "{most} parameter{} (", if most == 1 { "" } else { "s" })?;
        for (index, Parameter { name, ty, .. }) in parameters.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let (open, close) = if index < least { ("", "") } else { ("[", "]") };
            write!(f, "{comma}{open}{name}: {}{close}", ty.name())?;
        }
        f.write_str(")")
    }
}
