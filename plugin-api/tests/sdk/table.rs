//! The exported table of the plugin under test, and what it says.

use hotcall_plugin::abi;
use hotcall_plugin::tree::{slice_of, str_of};
use std::ffi::CStr;

unsafe extern "C" {
    #[link_name = "hotcall_plugin_v1"]
    safe static TABLE: abi::Plugin;
}

pub(crate) fn table() -> &'static abi::Plugin {
    &TABLE
}

pub(crate) fn method(name: &str) -> &'static abi::Method {
    let table = table();
    // SAFETY: the table is static and so is all that it points to.
    let methods =
        unsafe { slice_of(table.methods.cast::<&'static abi::Method>(), table.methods_len) }
            .unwrap();
    methods
        .iter()
        .find(|method| text(method.name) == name)
        .unwrap_or_else(|| panic!("no method {name}"))
}

fn text(raw: abi::Str) -> &'static str {
    // SAFETY: texts of a static table.
    unsafe { str_of(raw) }.unwrap()
}

fn signatures(name: &str) -> Vec<Vec<u32>> {
    let method = method(name);
    // SAFETY: part of the static table.
    let signatures = unsafe { slice_of(method.signatures, method.signatures_len) }.unwrap();
    let tags = |signature: &abi::Signature| {
        // SAFETY: part of the static table.
        let types = unsafe { slice_of(signature.types, signature.types_len) }.unwrap();
        types.iter().map(|tag| u32::from(*tag)).collect()
    };
    signatures.iter().map(tags).collect()
}

#[test]
fn an_exclusive_plugin_says_so_and_has_no_other_feature() {
    let extension = table().extension.unwrap();
    // SAFETY: the texts end with a NUL.
    let has = |id: &CStr, revision| !unsafe { extension(id.as_ptr(), revision) }.is_null();
    assert!(has(c"hotcall.exclusive", 1));
    assert!(
        !has(c"hotcall.exclusive", 2)
            && !has(c"hotcall.exclusiv", 1)
            && !has(c"hotcall.exclusive2", 1)
    );
}

#[test]
fn the_head_says_what_the_author_wrote_and_the_manifest() {
    let table = table();
    assert_eq!(table.struct_size as usize, size_of::<abi::Plugin>());
    assert_eq!((table.abi_major, table.abi_minor, table.flags), (1, 0, 0));
    assert_eq!(text(table.name), "under-test_1");
    assert_eq!(text(table.version), "9.8.7");
    assert_eq!(text(table.description), env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(table.methods_len, 42);
    assert!(table.extension.is_some(), "it is exclusive");
}

#[test]
fn methods_have_help_flags_and_a_size() {
    let add = method("add");
    assert_eq!(add.struct_size as usize, size_of::<abi::Method>());
    assert_eq!(text(add.help), "Adds two integers.\n\nFaults when the sum is too large.");
    assert_eq!(add.flags, abi::METHOD_IDEMPOTENT | abi::METHOD_QUICK);
    assert_eq!((method("nothing").flags, text(method("nothing").help)), (0, ""));
    assert_eq!(text(method("counter.increment").help), "Adds to the count.");
}

#[test]
fn signatures_come_from_types() {
    assert_eq!(signatures("add"), [[abi::INT, abi::INT, abi::INT]]);
    assert_eq!(signatures("nothing"), [[abi::NIL]]);
    assert_eq!(signatures("borrowed"), [[abi::STRING, abi::STRING, abi::STRING]]);
    assert_eq!(signatures("echo_u32"), [[abi::LONG, abi::LONG]]);
    assert_eq!(signatures("echo_slice"), [[abi::BINARY, abi::BINARY]]);
    assert_eq!(signatures("echo_value"), [[abi::ANY, abi::ANY]]);
    assert_eq!(signatures("echo_labelled"), [[abi::STRUCT, abi::STRUCT]]);
    assert_eq!(signatures("several"), [[abi::ARRAY]]);
}

#[test]
fn trailing_options_give_a_signature_for_each_form() {
    let string = abi::STRING;
    assert_eq!(
        signatures("greet"),
        [
            vec![string, string, string, abi::INT],
            vec![string, string, string],
            vec![string, string]
        ]
    );
    assert_eq!(signatures("option_first"), [[abi::INT, abi::INT, abi::INT]]);
    assert_eq!(signatures("counter.increment"), [vec![abi::INT, abi::INT], vec![abi::INT]]);
}

#[test]
fn written_signatures_take_the_place_of_derived_ones() {
    assert_eq!(signatures("dynamic"), [vec![abi::INT, abi::INT], vec![abi::STRING]]);
}
