//! The common parts of the server's own methods: their description for introspection, and their
//! parameters. Must not know what they do.

use crate::xmlrpc::{Fault, Items, View, code};

/// The name of the method that takes a batch.
pub(super) const MULTICALL: &str = "system.multicall";

/// One method of the host's own.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) signature: &'static [&'static str],
}

/// The parameter, if there is just one.
pub(super) fn only<'a>(params: Items<'a>) -> Option<View<'a>> {
    let mut params = params.iter();
    let first = params.next()?.view().ok()?;
    params.next().is_none().then_some(first)
}

pub(super) fn no_params(method: &str, params: Items<'_>) -> Result<(), Fault> {
    if params.is_empty() { Ok(()) } else { Err(wrong_params(method, "no parameters", params)) }
}

/// The fault for parameters that one of the host's own methods does not take.
pub(super) fn wrong_params(method: &str, wants: &str, params: Items<'_>) -> Fault {
    /// Types are named up to here.
    const SHOWN_MAX: usize = 8;
    let types = params.iter().filter_map(|param| Some(param.view().ok()?.type_name()));
    let mut came: Vec<&str> = types.take(SHOWN_MAX).collect();
    if params.len() > SHOWN_MAX {
        came.push("…");
    }
    let came = if came.is_empty() { "nothing".to_owned() } else { came.join(", ") };
    Fault::new(code::INVALID_PARAMS, format!("{method} takes {wants}; got {came}"))
}
