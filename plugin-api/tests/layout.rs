//! The header and `hotcall_plugin::abi` say the same: every size, alignment, offset and constant.
//!
//! A C program is generated from the tables below, compiled as C11 and as C++17, and run; what it
//! prints is compared with Rust. The tables cannot fall behind: a field that one side gains does
//! not compile here, leaves a gap between the listed fields, or is found by reading the sources.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

mod parts;

use hotcall_plugin::abi;
use parts::{Constant, Type, compiler, field, source};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::{align_of, offset_of, size_of};

/// The layout of a struct. Does not compile unless every field of the Rust type is named.
macro_rules! layout_of {
    ($rust:ident = $c:literal { $($field:ident = $c_field:literal),* $(,)? }) => {{
        let _: fn(&abi::$rust) = |abi::$rust { $($field: _),* }| ();
        Type {
            c: $c,
            rust: stringify!($rust),
            size: size_of::<abi::$rust>(),
            align: align_of::<abi::$rust>(),
            fields: vec![$(field(
                $c_field,
                offset_of!(abi::$rust, $field),
                |value: &abi::$rust| &value.$field,
            )),*],
        }
    }};
}

/// The fields of the union: its C name, its Rust name, and its size.
macro_rules! union_fields {
    ($($field:ident = $c_field:literal),* $(,)?) => {
        vec![$(($c_field, stringify!($field), offset_of!(abi::Payload, $field), {
            fn size<F>(_: fn(F) -> abi::Payload) -> usize {
                size_of::<F>()
            }
            size(|value| abi::Payload { $field: value })
        })),*]
    };
}

macro_rules! constants {
    ($($c:literal = $rust:ident),* $(,)?) => {
        vec![$(Constant { c: $c, rust: Some(stringify!($rust)), value: i64::from(abi::$rust) }),*]
    };
}

fn types() -> Vec<Type> {
    vec![
        layout_of!(Str = "hotcall_str" { ptr = "ptr", len = "len" }),
        layout_of!(Items = "hotcall_items" { ptr = "ptr", len = "len" }),
        layout_of!(Members = "hotcall_members" { ptr = "ptr", len = "len" }),
        layout_of!(DateTime = "hotcall_datetime" {
            year = "year", nanosecond = "nanosecond", offset_minutes = "offset_minutes",
            has_offset = "has_offset", month = "month", day = "day", hour = "hour",
            minute = "minute", second = "second",
        }),
        layout_of!(Value = "hotcall_value" { tag = "tag", reserved = "reserved", payload = "as" }),
        layout_of!(Member = "hotcall_member" { name = "name", value = "value" }),
        layout_of!(Fault = "hotcall_fault" {
            struct_size = "struct_size", code = "code", message = "message",
        }),
        layout_of!(Call = "hotcall_call" {
            struct_size = "struct_size", reserved = "reserved", host_data = "host_data",
            alloc = "alloc", remaining_ms = "remaining_ms", cancelled = "cancelled", log = "log",
            caller_name = "caller_name", caller_address = "caller_address",
            request_id = "request_id",
        }),
        layout_of!(Host = "hotcall_host" {
            struct_size = "struct_size", abi_major = "abi_major", abi_minor = "abi_minor",
            reserved = "reserved", host_data = "host_data", version = "version",
            data_directory = "data_directory", config = "config", log = "log",
            extension = "extension",
        }),
        layout_of!(Signature = "hotcall_signature" { types = "types", types_len = "types_len" }),
        layout_of!(Method = "hotcall_method" {
            struct_size = "struct_size", flags = "flags", name = "name", help = "help",
            signatures = "signatures", signatures_len = "signatures_len", invoke = "invoke",
        }),
        layout_of!(Plugin = "hotcall_plugin" {
            struct_size = "struct_size", abi_major = "abi_major", abi_minor = "abi_minor",
            flags = "flags", name = "name", version = "version", description = "description",
            methods = "methods", methods_len = "methods_len", create = "create",
            quiesce = "quiesce", save_state = "save_state", load_state = "load_state",
            destroy = "destroy", extension = "extension",
        }),
        layout_of!(Note = "hotcall_note" {
            owner_len = "owner_len", descriptor_len = "descriptor_len", note_type = "note_type",
            owner = "owner", magic = "magic", abi_major = "abi_major", abi_minor = "abi_minor",
        }),
    ]
}

fn payload() -> Vec<(&'static str, &'static str, usize, usize)> {
    union_fields! {
        boolean = "boolean", int = "integer", long = "long_integer", double = "number",
        string = "string", datetime = "datetime", binary = "binary", array = "array",
        structure = "structure",
    }
}

fn constants() -> Vec<Constant> {
    let mut constants = constants! {
        "HOTCALL_ABI_MAJOR" = ABI_MAJOR, "HOTCALL_ABI_MINOR" = ABI_MINOR,
        "HOTCALL_NOTE_MAGIC" = NOTE_MAGIC, "HOTCALL_OK" = OK, "HOTCALL_FAULT" = FAULT,
        "HOTCALL_ERROR" = ERROR, "HOTCALL_PANIC" = PANIC, "HOTCALL_NIL" = NIL,
        "HOTCALL_BOOL" = BOOL, "HOTCALL_INT" = INT, "HOTCALL_LONG" = LONG,
        "HOTCALL_DOUBLE" = DOUBLE, "HOTCALL_STRING" = STRING, "HOTCALL_DATETIME" = DATETIME,
        "HOTCALL_BINARY" = BINARY, "HOTCALL_ARRAY" = ARRAY, "HOTCALL_STRUCT" = STRUCT,
        "HOTCALL_ANY" = ANY, "HOTCALL_METHOD_IDEMPOTENT" = METHOD_IDEMPOTENT,
        "HOTCALL_METHOD_QUICK" = METHOD_QUICK,
        "HOTCALL_PLUGIN_LEAVES_NOTHING" = PLUGIN_LEAVES_NOTHING,
    };
    // Fixed by the fault code specification and by `abi::Call::log`; Rust has no ABI constant for
    // them.
    constants.extend(
        [
            ("HOTCALL_CODE_INVALID_PARAMS", -32602),
            ("HOTCALL_CODE_APPLICATION", -32500),
            ("HOTCALL_CODE_RESPONSE_TOO_LARGE", -32002),
            ("HOTCALL_LOG_ERROR", 1),
            ("HOTCALL_LOG_WARN", 2),
            ("HOTCALL_LOG_INFO", 3),
            ("HOTCALL_LOG_DEBUG", 4),
            ("HOTCALL_LOG_TRACE", 5),
        ]
        .map(|(c, value)| Constant { c, rust: None, value }),
    );
    constants
}

/// C expressions and what Rust says of them.
fn expected() -> BTreeMap<String, i64> {
    let number = |value: usize| i64::try_from(value).unwrap();
    let mut expected = BTreeMap::new();
    for Type { c, size, align, fields, .. } in types() {
        expected.insert(format!("sizeof({c})"), number(size));
        expected.insert(format!("alignof({c})"), number(align));
        for field in fields {
            expected.insert(format!("offsetof({c}, {})", field.c), number(field.offset));
            expected.insert(format!("sizeof((({c} *)0)->{})", field.c), number(field.size));
        }
    }
    let payload_at = offset_of!(abi::Value, payload);
    for (c, _, offset, size) in payload() {
        expected.insert(format!("offsetof(hotcall_value, as.{c})"), number(payload_at + offset));
        expected.insert(format!("sizeof(((hotcall_value *)0)->as.{c})"), number(size));
    }
    expected
        .extend(constants().into_iter().map(|constant| (constant.c.to_owned(), constant.value)));
    expected.extend(exported());
    expected
}

/// What `HOTCALL_EXPORT` and `HOTCALL_PLUGIN_HEADER` write.
fn exported() -> Vec<(String, i64)> {
    let abi::Note { owner_len, descriptor_len, note_type, owner, magic, abi_major, abi_minor } =
        abi::Note::THIS;
    let words = [
        ("owner_len", owner_len),
        ("descriptor_len", descriptor_len),
        ("note_type", note_type),
        ("magic", magic),
        ("abi_major", abi_major),
        ("abi_minor", abi_minor),
    ];
    let mut all: Vec<_> = words
        .into_iter()
        .map(|(name, value)| (format!("hotcall_note_v1.{name}"), i64::from(value)))
        .chain(
            owner
                .into_iter()
                .enumerate()
                .map(|(i, byte)| (format!("hotcall_note_v1.owner[{i}]"), byte.into())),
        )
        .collect();
    let symbol = abi::SYMBOL;
    all.push((format!("{symbol}.struct_size"), i64::try_from(size_of::<abi::Plugin>()).unwrap()));
    all.push((format!("{symbol}.abi_major"), abi::ABI_MAJOR.into()));
    all.push((format!("{symbol}.abi_minor"), abi::ABI_MINOR.into()));
    all.push((format!("{symbol}.flags"), 0));
    all
}

#[test]
fn c_and_rust_agree() {
    for compiler in compiler::all() {
        let in_c = compiler.evaluate(&source::include(), expected().keys());
        let differ: Vec<_> = expected()
            .into_iter()
            .filter(|(name, in_rust)| in_c.get(name) != Some(in_rust))
            .map(|(name, in_rust)| format!("{name}: {:?} in C, {in_rust} in Rust", in_c.get(&name)))
            .collect();
        assert!(differ.is_empty(), "{compiler} disagrees with Rust:\n{}", differ.join("\n"));
    }
}

#[test]
fn the_header_compiles_alone() {
    for compiler in compiler::all() {
        compiler.accepts("#include <hotcall_plugin.h>\n#include <hotcall_plugin.h>\n");
    }
}

#[test]
fn fields_leave_no_gap() {
    for Type { c, size, fields, .. } in types() {
        let mut end = 0;
        for field in fields {
            assert_eq!(
                field.offset, end,
                "{c} has bytes before `{}` that no listed field covers",
                field.c
            );
            end += field.size;
        }
        assert_eq!(end, size, "{c} has bytes at its end that no listed field covers");
    }
}

#[test]
fn every_type_is_listed() {
    let types = types();
    let in_c: BTreeSet<_> = types.iter().map(|listed| listed.c.to_owned()).collect();
    assert_eq!(source::c_types(), in_c, "left: the header; right: types()");
    let in_rust: BTreeSet<_> = types.iter().map(|listed| listed.rust.to_owned()).collect();
    assert_eq!(source::rust_structs(), in_rust, "left: abi.rs; right: types()");
}

#[test]
fn every_field_of_the_union_is_listed() {
    let (in_c, in_rust): (BTreeSet<_>, BTreeSet<_>) =
        payload().into_iter().map(|(c, rust, ..)| (c.to_owned(), rust.to_owned())).unzip();
    assert_eq!(source::c_union_fields(), in_c, "left: the header; right: payload()");
    assert_eq!(source::rust_union_fields(), in_rust, "left: abi.rs; right: payload()");
}

#[test]
fn every_constant_is_listed() {
    let constants = constants();
    let in_c: BTreeSet<_> = constants.iter().map(|constant| constant.c.to_owned()).collect();
    assert_eq!(source::c_constants(), in_c, "left: the header; right: constants()");
    // These reach C through the note and the symbol: see exported().
    let through_export = ["SYMBOL", "NOTE_OWNER", "NOTE_TYPE"];
    let listed = constants.iter().filter_map(|constant| constant.rust);
    let in_rust: BTreeSet<_> = listed.chain(through_export).map(str::to_owned).collect();
    assert_eq!(source::rust_constants(), in_rust, "left: abi.rs; right: constants()");
}
