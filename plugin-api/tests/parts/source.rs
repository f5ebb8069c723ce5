//! Reads names out of the header and `abi.rs`, as far as their own regular style goes.

use std::collections::BTreeSet;
use std::path::PathBuf;

const HEADER: &str = include_str!("../../include/hotcall_plugin.h");
const ABI: &str = include_str!("../../src/abi.rs");

/// Where the header stands.
pub(crate) fn include() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/include").into()
}

/// The structs that the header defines.
pub(crate) fn c_types() -> BTreeSet<String> {
    lines_between(HEADER, "typedef struct ", " {")
}

/// The structs that `abi` defines.
pub(crate) fn rust_structs() -> BTreeSet<String> {
    lines_between(ABI, "pub struct ", " {")
}

/// The fields of the union in the header.
pub(crate) fn c_union_fields() -> BTreeSet<String> {
    body(HEADER, "    union {\n", "    } as;")
        .lines()
        .map(|line| line.trim().strip_suffix(';').unwrap().rsplit(' ').next().unwrap().to_owned())
        .collect()
}

/// The fields of the union in `abi`.
pub(crate) fn rust_union_fields() -> BTreeSet<String> {
    lines_between(body(ABI, "pub union Payload {\n", "\n}"), "    pub ", ":")
}

/// The enumerators and the macros with a value of the header.
pub(crate) fn c_constants() -> BTreeSet<String> {
    let before_equals = HEADER.split(" = ").filter_map(|text| text.rsplit([' ', '\n']).next());
    let enumerators = before_equals.filter(|name| name.starts_with("HOTCALL_")).map(str::to_owned);
    // The guard has no value, and a macro with a parameter has "(" next to its name.
    let macros =
        lines_between(HEADER, "#define ", " ").into_iter().filter(|name| !name.contains('('));
    let makes_code = ["HOTCALL_EXPORT", "HOTCALL_PLUGIN_HEADER"];
    enumerators.chain(macros).filter(|name| !makes_code.contains(&name.as_str())).collect()
}

/// The constants of `abi`.
pub(crate) fn rust_constants() -> BTreeSet<String> {
    lines_between(ABI, "pub const ", ":")
}

/// What stands between `start` and `end` on every line that begins with `start`.
fn lines_between(text: &str, start: &str, end: &str) -> BTreeSet<String> {
    let names = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix(start)?.split_once(end)?.0.to_owned()));
    names.collect()
}

fn body<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start:?}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?}")).0
}
