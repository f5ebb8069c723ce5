//! `hotcall.*`: the server's own methods for operators. The caller's permit says who is an
//! operator.

use super::builtins::{Builtin, no_params, only, wrong_params};
use super::scope::Scope;
use crate::xmlrpc::{Fault, Items, Value, View, code};

const PLUGINS: &str = "hotcall.plugins";
const RELOAD: &str = "hotcall.reload";

/// As introspection tells operators.
pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: PLUGINS,
        help: "The plugin files, for each a struct: name, version, description, file, sha256 (of \
               what serves), file_sha256, generation, state (settling, probing, serving, poisoned, \
               waiting, replacing, conflicting, refused or missing), methods, calls, faults, \
               last_error, warnings, reload (overlap or exclusive), loaded_at (UTC), retry_at \
               (UTC, when the server tries again by itself), callers_refused (because calls of \
               theirs panicked), kept_generations, kept_bytes and kept_file_bytes. What is not \
               known is left out.",
        signature: &["array"],
    },
    Builtin {
        name: RELOAD,
        help: "Reloads a plugin from its file, also one that is out of service or was refused. \
               Returns its struct of hotcall.plugins when that is done, or a fault that says why \
               not. While another reload is running, returns fault -32001. Takes the plugin's name \
               or its file's.",
        signature: &["struct", "string"],
    },
];

/// Answers `method` if it is one of this module's; `None` if it is anybody else's.
pub(super) fn call(
    scope: &Scope<'_>,
    method: &str,
    params: Items<'_>,
) -> Option<Result<Value, Fault>> {
    if !BUILTINS.iter().any(|builtin| builtin.name == method) {
        return None;
    }
    let Some(control) = scope.control.filter(|_| scope.permit.operates(method)) else {
        return Some(Err(refused(method)));
    };
    Some(match (method, only(params)) {
        (PLUGINS, _) => no_params(method, params).map(|()| control.plugins()),
        (_, Some(View::String(plugin))) => control.reload(plugin, scope.context.deadline),
        _ => Err(wrong_params(method, "one string, the name of a plugin or of its file", params)),
    })
}

/// Clients elsewhere have no such method, but an operator who tries there should learn where it is.
fn refused(method: &str) -> Fault {
    Fault::new(
        code::METHOD_NOT_FOUND,
        format!(
            "method {method:?} is answered on the server's Unix sockets only (hotcall serve --unix \
             PATH), and elsewhere for users that an [[allow]] rule names for it"
        ),
    )
}
