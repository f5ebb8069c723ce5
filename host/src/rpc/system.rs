//! The introspection methods that every client can rely on (`system.*`), all but multicall.

use super::builtins::{Builtin, MULTICALL, no_params, only, wrong_params};
use super::control;
use super::scope::{Scope, method_not_found};
use crate::registry::MethodInfo;
use crate::xmlrpc::{Fault, Items, Value, View};

const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "system.getCapabilities",
        help: "The specifications this server follows: for each its URL and version.",
        signature: &["struct"],
    },
    Builtin {
        name: "system.identity",
        help: "The server's name and version, and nothing else about it.",
        signature: &["string"],
    },
    Builtin {
        name: "system.listMethods",
        help: "The names of all methods, sorted.",
        signature: &["array"],
    },
    Builtin {
        name: "system.methodExist",
        help: "Whether there is a method of this name.",
        signature: &["boolean", "string"],
    },
    Builtin {
        name: "system.methodHelp",
        help: "What a method does, as text; empty when its author wrote nothing.",
        signature: &["string", "string"],
    },
    Builtin {
        name: "system.methodSignature",
        help: "The signatures of a method: for each an array of the result's type and each \
               parameter's; the string \"undef\" when none is declared.",
        signature: &["array", "string"],
    },
    Builtin {
        name: MULTICALL,
        help: "Calls several methods in one request. Takes an array of structs with methodName and \
               params; answers an array with, for each, an array of the one result, or a struct \
               with faultCode and faultString.",
        signature: &["array", "array"],
    },
];

/// As servers name themselves in HTTP's `Server` field.
const IDENTITY: &str = concat!("Hotcall/", env!("CARGO_PKG_VERSION"));

const MULTICALL_SPEC: &str = "http://www.xmlrpc.com/discuss/msgReader$1208";

/// Name, specification and its version, as `system.getCapabilities` gives them.
const CAPABILITIES: &[(&str, &str, i32)] = &[
    ("faults_interop", "http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php", 20_010_516),
    ("i8", "https://ws.apache.org/xmlrpc/types.html", 1),
    ("introspection", "http://xmlrpc-epi.sourceforge.net/specs/rfc.introspection.php", 1),
    // The name that clients ask for is not the same everywhere.
    ("multicall", MULTICALL_SPEC, 1),
    ("nil", "http://www.ontosys.com/xml-rpc/extensions.php", 1),
    ("system.multicall", MULTICALL_SPEC, 1),
    ("xmlrpc", "http://xmlrpc.com/spec.md", 1),
];

/// Answers `method` if it is one of this module's; `None` if it is anybody else's.
pub(super) fn call(
    scope: &Scope<'_>,
    method: &str,
    params: Items<'_>,
) -> Option<Result<Value, Fault>> {
    Some(match method {
        "system.getCapabilities" => no_params(method, params).map(|()| capabilities()),
        "system.identity" => no_params(method, params).map(|()| IDENTITY.into()),
        "system.methodExist" => {
            method_name(method, params).map(|name| find(scope, name).is_ok().into())
        }
        "system.listMethods" => no_params(method, params).map(|()| list_methods(scope)),
        "system.methodHelp" => method_name(method, params).and_then(|name| help(scope, name)),
        "system.methodSignature" => {
            method_name(method, params).and_then(|name| signatures(scope, name))
        }
        _ => return None,
    })
}

fn capabilities() -> Value {
    let capability = |&(name, url, version): &(&str, &str, i32)| {
        let about = vec![("specUrl".into(), url.into()), ("specVersion".into(), version.into())];
        (name.to_owned(), Value::Struct(about))
    };
    Value::Struct(CAPABILITIES.iter().map(capability).collect())
}

fn list_methods(scope: &Scope<'_>) -> Value {
    let builtin = builtins(scope).map(|builtin| builtin.name);
    let methods = scope.snapshot.methods().map(|method| method.info.name.as_str());
    let mut names: Vec<&str> =
        methods.filter(|name| scope.permit.allows(name)).chain(builtin).collect();
    names.sort_unstable();
    Value::Array(names.into_iter().map(Value::from).collect())
}

fn help(scope: &Scope<'_>, name: &str) -> Result<Value, Fault> {
    match find(scope, name)? {
        Found::Builtin(builtin) => Ok(builtin.help.into()),
        Found::Method(info) => Ok(info.help.as_str().into()),
    }
}

fn signatures(scope: &Scope<'_>, name: &str) -> Result<Value, Fault> {
    let array =
        |types: &[&'static str]| Value::Array(types.iter().copied().map(Value::from).collect());
    match find(scope, name)? {
        Found::Builtin(builtin) => Ok(Value::Array(vec![array(builtin.signature)])),
        Found::Method(info) if info.signatures.is_empty() => Ok("undef".into()),
        Found::Method(info) => {
            Ok(Value::Array(info.signatures.iter().map(|types| array(types)).collect()))
        }
    }
}

/// The server's own methods, as far as the caller may know of them.
fn builtins(scope: &Scope<'_>) -> impl Iterator<Item = &'static Builtin> {
    let operators = if scope.control.is_some() { control::BUILTINS } else { &[] };
    BUILTINS.iter().chain(operators.iter().filter(|builtin| scope.permit.operates(builtin.name)))
}

enum Found<'a> {
    Builtin(&'static Builtin),
    Method(&'a MethodInfo),
}

fn find<'a>(scope: &Scope<'a>, name: &str) -> Result<Found<'a>, Fault> {
    let builtin = || builtins(scope).find(|builtin| builtin.name == name).map(Found::Builtin);
    let method = scope
        .snapshot
        .get(name)
        .filter(|_| scope.permit.allows(name))
        .map(|method| Found::Method(&method.info));
    method.or_else(builtin).ok_or_else(|| method_not_found(name))
}

fn method_name<'a>(method: &str, params: Items<'a>) -> Result<&'a str, Fault> {
    match only(params) {
        Some(View::String(name)) => Ok(name),
        _ => Err(wrong_params(method, "one string, the name of a method", params)),
    }
}
