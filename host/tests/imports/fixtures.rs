//! What each rule must refuse, and what it must let pass.

use crate::circles;
use crate::flow::{passed_on, upward};
use crate::size::{is_written, too_long, too_wide};
use crate::source::Source;
use std::path::Path;

/// A crate of these files.
fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| Source::new(path, *text)).collect()
}

#[test]
fn an_upward_import_is_refused_however_it_is_written() {
    let source = "//! crate::plugin in a comment\n\
        use crate::web::Request;\n\
        use crate::{rpc, web::{self, Response}, plugin::Loader as L};\n\
        const TEXT: &str = \"crate::plugin\";\n\
        fn f() -> super::super::xmlrpc::Value { crate :: plugin::x(r#\"\"crate::rpc\"#, '\"') }\n\
        /* crate::rpc\n */ use super::{frame, super::rpc};\n\
        use crate::Shortcut;\n\
        #[cfg(test)] mod tests { use crate::plugin; }\n";
    let others = ["net/mod.rs", "plugin/mod.rs", "rpc.rs", "web/mod.rs", "xmlrpc/mod.rs"];
    let mut files = sources(&others.map(|path| (path, "")));
    files.push(Source::new("net/http.rs", source));
    let found = upward(&files);
    let places: Vec<_> = found.iter().map(|text| text.split(" (").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "net/http.rs:3: `net` must not name `rpc`",
            "net/http.rs:3: `net` must not name `plugin`",
            "net/http.rs:5: `net` must not name `xmlrpc`",
            "net/http.rs:5: `net` must not name `plugin`",
            "net/http.rs:7: `net` must not name `rpc`",
            "net/http.rs:8: `net` must not name `Shortcut`",
        ]
    );
    assert!(found[0].contains("it may name ["), "{}", found[0]);
    assert!(upward(&sources(&[("main.rs", source), ("plugin.rs", ""), ("rpc.rs", "")])).is_empty());
}

#[test]
fn a_circle_of_files_is_refused() {
    let circle = sources(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;\npub struct A(B);"),
        ("b.rs", "pub struct B;\nfn f() { super::c::g() }"),
        ("c.rs", "use super::b;\npub fn g() {}"),
    ]);
    let found = circles::circles(&circle);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("b.rs:2 names c") && found[0].contains("c.rs:1 names b"),
        "{found:?}"
    );
}

#[test]
fn a_child_that_imports_its_importing_parent_is_a_circle() {
    let parent = "mod child;\npub use child::Child;\npub struct Parent;";
    let circle = sources(&[("a/mod.rs", parent), ("a/child.rs", "use super::Parent;")]);
    assert_eq!(circles::circles(&circle).len(), 1);
    let called = "mod child;\npub struct Parent;\nfn f() { child::run() }";
    let circle = sources(&[("a/mod.rs", called), ("a/child.rs", "use crate::a::Parent;")]);
    assert_eq!(circles::circles(&circle).len(), 1);
    let map = "mod child;\npub struct Parent;";
    let free =
        sources(&[("a/mod.rs", map), ("a/child.rs", "pub(in crate::a) fn f(_: super::Parent) {}")]);
    assert!(circles::circles(&free).is_empty());
}

#[test]
fn what_only_tests_import_makes_no_circle() {
    let files = sources(&[
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
        ("a/tests.rs", "use crate::b::B; use super::A;"),
    ]);
    assert!(circles::circles(&files).is_empty());
}

#[test]
fn a_laundered_import_is_refused() {
    let files = sources(&[
        ("access.rs", "pub enum Way {}"),
        ("registry.rs", "pub struct Cancellation;"),
        (
            "web.rs",
            "pub use crate::access::Way;\npub(crate) type Cancel = crate::registry::Cancellation;",
        ),
        ("web/inner.rs", "pub struct Own;"),
        ("lib.rs", "pub use access::Way;"),
    ]);
    let found = passed_on(&files);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("web.rs:1: `web` passes on `access::Way`"), "{found:?}");
    assert!(
        found[1].starts_with("web.rs:2: `web` passes on `registry::Cancellation`"),
        "{found:?}"
    );
    let own = sources(&[
        ("web/mod.rs", "mod inner; pub use inner::Own;"),
        ("web/inner.rs", "pub struct Own;"),
    ]);
    assert!(passed_on(&own).is_empty());
}

#[test]
fn a_long_file_and_a_wide_line_are_refused() {
    let (whole, over) = ("x\n".repeat(500), "x\n".repeat(501));
    assert!(too_long(&Source::new("a.rs", whole)).is_none());
    assert!(too_long(&Source::new("a.rs", over)).is_some_and(|text| text.contains("501 lines")));
    let (fits, wide, cells) = ("ä".repeat(100), "a".repeat(101), "cell |".repeat(20));
    let text = format!("{fits}\n{wide}\n| {cells}\n//! | {cells}\n// https://{wide}");
    assert_eq!(too_wide(Path::new("a.md"), &text), ["a.md:2: 101 columns; 100 are the most"]);
}

#[test]
fn records_may_have_wide_lines() {
    for path in ["README.md", "host/src/lib.rs", "plugins/text-c/Makefile", "tests/it/main.rs"] {
        assert!(is_written(Path::new(path)), "{path}");
    }
    for path in ["tests/bench/RESULTS.md", "plugin-api/abi/1.0/hotcall_plugin.h", "Cargo.lock"] {
        assert!(!is_written(Path::new(path)), "{path}");
    }
}
