//! A plugin without state: its table leads to methods and to nothing else.
#![allow(unsafe_code, reason = "reads the exported table, as the host does")]

use hotcall_plugin::{abi, method, plugin};

#[method]
fn one() -> i32 {
    1
}

plugin! { name: "stateless", methods: [one] }

unsafe extern "C" {
    #[link_name = "hotcall_plugin_v1"]
    safe static TABLE: abi::Plugin;
}

#[test]
fn only_methods_are_exported() {
    assert_eq!(one(), 1);
    assert_eq!(TABLE.methods_len, 1);
    assert!(TABLE.extension.is_none());
    assert!(TABLE.create.is_none() && TABLE.quiesce.is_none() && TABLE.destroy.is_none());
    assert!(TABLE.save_state.is_none() && TABLE.load_state.is_none());
}

#[test]
fn version_and_description_come_from_the_manifest() {
    // SAFETY: texts of a static table.
    let version = unsafe { hotcall_plugin::tree::str_of(TABLE.version) };
    // SAFETY: texts of a static table.
    let description = unsafe { hotcall_plugin::tree::str_of(TABLE.description) };
    assert_eq!(version, Ok(env!("CARGO_PKG_VERSION")));
    assert_eq!(description, Ok(env!("CARGO_PKG_DESCRIPTION")));
}
