//! What each rule must refuse, and what it must let pass.

use crate::circles;
use crate::flow::{passed_on, upward};
use crate::hidden::hidden;
use crate::order::{out_of_order, strangers};
use crate::size::{is_written, too_long, too_wide};
use crate::source::Source;
use std::path::Path;

/// A crate of these files.
fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| source(path, text)).collect()
}

/// `net` for net.rs and net/mod.rs, `net::pool` for net/pool.rs, and nothing for lib.rs.
fn source(path: &str, text: &str) -> Source {
    let module = path.trim_end_matches(".rs").replace('/', "::");
    let is_folder = |part: &str| matches!(part, "mod" | "lib" | "main");
    let parts: Vec<_> = module.split("::").filter(|part| !is_folder(part)).collect();
    Source::new(Path::new(path), parts.join("::"), text.to_owned())
}

#[test]
fn an_upward_import_is_refused_however_it_is_written() {
    let text = "//! crate::plugin in a comment\n\
        use crate::web::Request;\n\
        use crate::{rpc, web::{self, Response}, plugin::Loader as L};\n\
        const TEXT: &str = \"crate::plugin\";\n\
        fn f() -> super::super::xmlrpc::Value { crate :: plugin::x(r#\"\"crate::rpc\"#, '\"') }\n\
        /* crate::rpc\n */ use super::{frame, super::rpc};\n\
        use crate::Shortcut;\n\
        #[cfg(test)] mod tests { use crate::plugin; }\n";
    let others = ["net/mod.rs", "plugin/mod.rs", "rpc.rs", "web/mod.rs", "xmlrpc/mod.rs"];
    let mut files = sources(&others.map(|path| (path, "")));
    files.push(source("net/http.rs", text));
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
    assert!(upward(&sources(&[("main.rs", text), ("plugin.rs", ""), ("rpc.rs", "")])).is_empty());
}

/// The names that `net/http.rs` must not name, where this is its source.
fn refused(text: &str) -> Vec<String> {
    let others = ["lib.rs", "net/mod.rs", "plugin/mod.rs", "web/mod.rs", "web/plugin.rs"];
    let mut files = sources(&others.map(|path| (path, "")));
    files.push(source("net/http.rs", text));
    let name = |text: String| text.split('`').nth(3).unwrap().to_owned();
    upward(&files).into_iter().map(name).collect()
}

#[test]
fn an_upward_import_is_refused_by_whatever_name() {
    for source in [
        "mod inner { fn f(_: super::super::super::plugin::Plugins) {} }",
        "mod a { mod b { use super::super::super::super::plugin::Plugins; } }",
        "use crate as root;\nfn f(_: root::plugin::X) {}",
        "fn f() { use crate::{self as root}; root::plugin::run() }",
        "use super::super as root;\nuse root::plugin::X;",
        "use crate as one;\nuse one as two;\nmod inner { use super::two::plugin::X; }",
        "use crate as root;\nfn f() { self::root::plugin::run() }",
    ] {
        assert!(refused(source).contains(&"plugin".to_owned()), "{source}: {:?}", refused(source));
    }
}

#[test]
fn an_upward_import_is_refused_behind_whatever_text() {
    for before in [
        r###"const A: &str = r##"a"#b"##;"###,
        r#"const A: &[u8] = br"\";"#,
        r#"const A: &CStr = cr"\";"#,
        r##"const A: &CStr = c"\""; const B: &[u8] = br#"""#; const C: char = '"';"##,
        "/* /* */ \" */",
        "struct S { #[cfg(test)] a: u8, b: crate::plugin::X }",
        "struct S { #[cfg(test)] pub a: Vec<(u8, u8)>, pub b: crate::plugin::X }",
        "struct S(#[cfg(test)] fn(u8), crate::plugin::X);",
        "enum E { #[cfg(test)] A(u8), B(crate::plugin::X) }",
        "fn f(#[cfg(test)] a: u8, b: crate::plugin::X) {}",
        "fn f() { match a { #[cfg(test)] A => b, B => crate::plugin::x() } }",
        "fn f() { match a { #[cfg(test)] A => { b } B => crate::plugin::x() } }",
        "fn f() { g(#[cfg(test)] a, crate::plugin::x()) }",
        "#[serde(with = \"crate::plugin::times\")] a: u8,",
        "#[serde(try_from = r\"Vec<crate::plugin::X>\")] struct S;",
        "#[expect(lint, reason = \"use a::b\")] fn f(_: crate::plugin::X) {}",
        "use crate::r#plugin::X;",
    ] {
        let text = format!("{before}\nfn f(_: crate::plugin::X) {{}}");
        assert_eq!(refused(&text).len(), 1 + before.matches("plugin").count(), "{before}");
    }
}

#[test]
fn what_is_for_tests_may_name_everything() {
    for item in [
        "fn f<A, B>(_: [u8; 2]) -> crate::plugin::X { a; b }",
        "#[inline] pub(crate) unsafe fn f<A, B>(_: crate::plugin::X) {}",
        "use crate::{plugin::X, plugin};",
        "impl<A, B> crate::plugin::X for S<A, B> { fn f() {} }",
        "mod tests { fn f() {} use crate::plugin; }",
        "const A: (u8, crate::plugin::X) = a;",
    ] {
        let found = refused(&format!("#[cfg(test)]\n{item}"));
        assert!(found.is_empty(), "{item}: {found:?}");
    }
}

#[test]
fn the_whole_crate_is_refused() {
    for source in [
        "use crate::*;\nfn f(_: plugin::X) {}",
        "use super::super::*;",
        "mod inner { use super::super::super::{*}; }",
        "pub(super) use crate as root;",
        "pub(super) use crate::{self as root};",
        "use super::super::super::super::plugin::X;",
    ] {
        assert_eq!(refused(source), ["crate"], "{source}");
    }
    let renamed = [("lib.rs", "extern crate self as me;"), ("net.rs", "use me::plugin::X;")];
    assert_eq!(upward(&sources(&renamed)), ["lib.rs:1: the crate must have no second name"]);
    let renamed = [("net.rs", "extern crate self as me;\nfn f(_: me::plugin::X) {}")];
    assert_eq!(upward(&sources(&renamed)).len(), 3, "the name, the crate, and the plugin");
}

#[test]
fn what_a_file_has_itself_is_not_upward() {
    for source in [
        "struct Own;\nmod inner { use super::Own; mod more { use super::super::Own; } }",
        "use crate::web;\nfn f(_: web::plugin::X) {}",
        "use std::collections as plugin;\nfn f(_: plugin::BTreeMap) {}",
        "use ::plugin::X;\nextern crate core;",
        "fn f() -> impl Sized + use<> {}\nfn g(_: super::Head) {}",
    ] {
        assert!(refused(source).is_empty(), "{source}: {:?}", refused(source));
    }
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
fn a_circle_leads_to_the_file_and_not_to_its_parent() {
    for timers in [
        "use crate::net::conn;\nfn f() { conn::reactor::Reactor::new() }",
        "use super::{conn as other};\nfn f(_: other::reactor::Reactor) {}",
        "mod inner { use super::super::conn::reactor::Reactor; }",
    ] {
        let circle = sources(&[
            ("net/mod.rs", "mod conn; mod timers;"),
            ("net/conn/mod.rs", "pub mod reactor;"),
            ("net/conn/reactor.rs", "use crate::net::timers::Timers;"),
            ("net/timers.rs", timers),
        ]);
        let found = circles::circles(&circle);
        assert_eq!(found.len(), 1, "{timers}");
        assert!(found[0].contains("names net::conn::reactor"), "{found:?}");
    }
}

#[test]
fn the_root_may_be_in_a_circle() {
    for (root, text) in [
        ("lib.rs", "mod a;\npub use a::A;\npub fn helper() {}"),
        ("lib.rs", "mod a;\nfn f() { a::run() }\npub fn helper() {}"),
        ("main.rs", "mod a;\nfn main() { crate::a::run() }\nfn helper() {}"),
    ] {
        for child in ["use crate::helper;", "fn f() { super::helper() }", "use super::*;"] {
            let found = circles::circles(&sources(&[(root, text), ("a.rs", child)]));
            assert_eq!(found.len(), 1, "{text} {child}");
        }
    }
    let free = [("lib.rs", "mod a; mod b;\npub use a::A;"), ("a.rs", "use crate::b::B;")];
    assert!(circles::circles(&sources(&[free[0], free[1], ("b.rs", "")])).is_empty());
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
fn no_name_of_a_module_lets_it_be_in_a_circle() {
    for name in ["tests", "fuzz"] {
        let (file, child) = (format!("a/{name}.rs"), format!("a/{name}/b.rs"));
        let circle = [(&*file, "mod b;\nuse b::B;"), (&*child, "use super::A;")];
        assert_eq!(circles::circles(&sources(&circle)).len(), 1, "{name}");
    }
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
fn a_laundered_import_is_refused_by_whatever_name() {
    for (web, item) in [
        ("use crate::access;\npub use access::Access as L;", "access::Access"),
        ("use crate::access as who;\npub(crate) use who::Access;", "access::Access"),
        ("use crate::access;\npub use self::access::Way;", "access::Way"),
        ("use crate::access::Way;\npub use self::Way;", "access::Way"),
        ("use crate::access::*;\npub use crate::access::*;", "access"),
        ("mod inner { use crate::access; pub use self::access::Way; }", "access::Way"),
        ("use crate::registry::Snapshot;\npub type L = Snapshot;", "registry::Snapshot"),
        ("use crate::registry::Snapshot;\npub type P = Arc<Snapshot>;", "registry::Snapshot"),
        ("use crate::registry;\npub(super) type P<T> = Map<T, registry::X>;", "registry::X"),
        ("use crate::registry::{Snapshot as S};\npub type L = (S,);", "registry::Snapshot"),
        ("use crate::registry::X;\npub type L = ([u8; 4], X);", "registry::X"),
        ("macro_rules! m { () => { $crate::access::Way } }\npub(crate) use m;", "access::Way"),
        ("macro_rules! m ( () => { crate::access::W }; );\npub use self::m as w;", "access::W"),
        ("impl Trait for Own { type Out = crate::access::Way; }", "access::Way"),
        ("use crate::access::Way;\nimpl Deref for Own { type Target = Way; }", "access::Way"),
        ("#[a]\nunsafe impl<T> Trait for S<T> { type O = Vec<crate::access::W>; }", "access::W"),
    ] {
        let files = [("access.rs", ""), ("registry.rs", ""), ("lib.rs", ""), ("web.rs", web)];
        let found = passed_on(&sources(&files));
        assert_eq!(found.len(), 1, "{web}: {found:?}");
        assert!(found[0].contains(&format!("`web` passes on `{item}`")), "{found:?}");
    }
    let own = "use crate::registry::Snapshot;\nuse std::fmt::Result as R;\n\
        type Private = Snapshot;\npub type Own = R;\nfn f(_: Snapshot) {}\n\
        macro_rules! own { () => { crate::registry::X } }\n\
        fn g() -> impl Fn() { type Private = Snapshot; }";
    assert!(passed_on(&sources(&[("registry.rs", ""), ("web.rs", own)])).is_empty());
}

#[test]
fn a_laundered_import_is_refused_through_another_file_s_imports() {
    let found = |web: &str, inner: &str| {
        let own = [("web/mod.rs", web), ("web/inner.rs", inner), ("web/other.rs", "")];
        let others = [("access.rs", ""), ("lib.rs", "mod access; mod web;\nuse access as who;")];
        passed_on(&sources(&[own.as_slice(), &others].concat()))
    };
    for (web, inner) in [
        ("mod inner;\nuse crate::access;", "pub use super::access::Way;"),
        ("mod inner;\nuse crate::access::Way as W;", "pub(crate) type Own = Box<super::W>;"),
        ("mod inner;\nuse crate::access as a;\nuse a as b;", "pub(super) use crate::web::b::Way;"),
        ("mod inner;", "pub use crate::who::Way;"),
    ] {
        let found = found(web, inner);
        assert!(found.iter().any(|text| text.contains("passes on `access::Way`")), "{web} {inner}");
    }
    let own = "mod inner; mod other;\nuse crate::access::Way;\nuse other::Own;";
    assert!(found(own, "pub use super::Own;\nuse super::Way;\nfn f(_: super::Way) {}").is_empty());
}

#[test]
fn a_room_names_only_rooms_that_stand_above_it() {
    let rooms = ["net/conn/mod.rs", "net/http1/mod.rs", "net/tls/mod.rs", "net/body_budget.rs"];
    let parts =
        ["looks.rs", "slots.rs", "trials.rs"].map(|part| "plugin/lifecycle/".to_owned() + part);
    let found = |path: &str, text: &str| {
        let others = rooms.into_iter().chain(parts.iter().map(String::as_str));
        let others = others.filter(|other| *other != path).map(|other| (other, ""));
        out_of_order(&sources(&others.chain([(path, text)]).collect::<Vec<_>>()))
    };
    for (path, text) in [
        ("net/http1/head.rs", "use crate::net::conn::stream::Stream;"),
        ("net/http1/head.rs", "mod inner { use super::super::super::conn; }"),
        ("net/tls/mod.rs", "use super::body_budget::Budget;"),
        ("net/http1/head.rs", "use crate::net::Budget;"),
        ("net/new.rs", "use super::tls::Tls;"),
        ("plugin/lifecycle/trials.rs", "fn f(_: super::looks::Looks) {}"),
        ("plugin/lifecycle/trials/late.rs", "use super::super::looks::Looks;"),
        ("plugin/lifecycle/slots.rs", "use crate::plugin::lifecycle::trials;"),
    ] {
        assert_eq!(found(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("net/conn/stream.rs", "use crate::net::http1::head::Head;\nuse super::timers::Timers;"),
        ("net/mod.rs", "pub use conn::Heartbeat;"),
        ("net/http1/head.rs", "#[cfg(test)] mod tests { use crate::net::conn::stream::Stream; }"),
        ("plugin/lifecycle/loader.rs", "use super::{looks::Looks, trials::Trials};"),
        (
            "plugin/lifecycle/trials.rs",
            "use super::slots::Slots;\nuse crate::plugin::clock::later;",
        ),
    ] {
        assert!(found(path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn a_crate_is_named_only_where_it_is_kept() {
    let found = |path: &str, text: &str| strangers(&sources(&[(path, text)]));
    for text in [
        "use tiny_http::Server;",
        "use {std::fs, tiny_http as t};",
        "extern crate tiny_http;",
        "fn f(_: ::tiny_http::Request) {}",
        "use xml as x;",
    ] {
        assert_eq!(found("net/conn/stream.rs", text).len(), 1, "{text}");
        assert_eq!(found("net/relays.rs", text).len(), 1, "{text}");
    }
    let relay = "use tiny_http::Server;";
    assert!(found("net/relay/mod.rs", relay).is_empty());
    assert!(found("net/relay/upstream.rs", relay).is_empty());
    let other = "// tiny_http::Server\n\
        fn tiny_http_answers() { Response::xml(\"tiny_http::X\") }\n\
        #[cfg(test)] mod tests { use tiny_http::Server; }";
    assert!(found("net/conn/stream.rs", other).is_empty());
}

#[test]
fn a_glob_of_a_module_is_refused() {
    for web in ["use crate::access::*;", "use super::{access::*};", "mod a { use crate::web::*; }"]
    {
        let found = hidden(&sources(&[("access.rs", ""), ("web.rs", web)]));
        assert_eq!(found.len(), 1, "{web}");
    }
    let items = "use crate::access::Way::*;\nuse std::io::*;\n#[cfg(test)] mod t { use super::*; }";
    let tests = "mod tests {}\n#[cfg(test)]\n/// Costs.\nmod costs;";
    for (costs, found) in [("costs.rs", 0), ("costs/inner.rs", 0), ("web/tests.rs", 1)] {
        let files = [("lib.rs", tests), ("costs.rs", "mod inner;"), ("web.rs", items)];
        let files = files.into_iter().filter(|(path, _)| *path != costs);
        let files: Vec<_> = files.chain([(costs, "use crate::web::*;")]).collect();
        assert_eq!(hidden(&sources(&files)).len(), found, "{costs}");
    }
}

#[test]
fn what_hides_imports_is_refused() {
    for text in [
        "#[path = \"../plugin/x.rs\"] mod x;",
        "#[cfg(test)] #[path = \"x.rs\"] mod x;",
        "#[cfg_attr(unix, path = \"x.rs\")] mod x;",
        "include!(\"x.rs\");",
        "fn f() { std::include!(concat!(\"x\", \".rs\")) }",
        "#[macro_export] macro_rules! m { () => {} }",
        "#[macro_use] mod x;",
        "macro_rules! m { () => {} }\nmod x;",
    ] {
        assert_eq!(hidden(&sources(&[("a.rs", text)])).len(), 1, "{text}");
    }
    let free = "mod x;\nmacro_rules! m { ($path:expr) => { include_str!($path) } }\n\
        fn f() { let path = m!(\"a\"); println!(\"{path}\", path = path) }";
    assert!(hidden(&sources(&[("a.rs", free)])).is_empty());
}

#[test]
fn a_long_file_and_a_wide_line_are_refused() {
    let (whole, over) = ("x\n".repeat(500), "x\n".repeat(501));
    for path in ["a.rs", "a.py", "Makefile"] {
        assert!(too_long(Path::new(path), &whole).is_none());
        let refused = too_long(Path::new(path), &over);
        assert!(refused.is_some_and(|text| text.contains("501 lines")));
    }
    assert!(too_long(Path::new("a.md"), &over).is_none());
    let (fits, wide, cells) = ("ä".repeat(100), "a".repeat(101), "cell |".repeat(20));
    let text = format!("{fits}\n{wide}\n| {cells}\n//! | {cells}\n// https://{wide}");
    assert_eq!(too_wide(Path::new("a.md"), &text), ["a.md:2: 101 columns; 100 are the most"]);
    let tabs = format!("\t\t{}\n \t{}", "a".repeat(85), "a".repeat(92));
    assert_eq!(too_wide(Path::new("Makefile"), &tabs).len(), 1, "a tab is as wide as it is shown");
}

#[test]
fn tables_and_urls_excuse_a_wide_line_only_where_it_cannot_be_broken() {
    let wide = |path: &str, text: &str| !too_wide(Path::new(path), text).is_empty();
    let cells = "| a ".repeat(30);
    assert!(wide("a.rs", &format!("    {cells}")), "a pattern of many cases");
    assert!(wide("run.sh", &cells), "a pipe");
    assert!(!wide("a.rs", &format!("    /// {cells}")) && !wide("a.md", &cells));
    let (words, long) = ("words ".repeat(16), "a".repeat(90));
    assert!(wide("a.rs", &format!("// {words} https://a.example")));
    assert!(wide("a.toml", &format!("# https://a.example {words}")));
    assert!(wide("a.rs", &format!("call(\"https://a.example\", {words})")));
    assert!(!wide("a.md", &format!("{} [a](https://a.example)", &words[..90])));
    assert!(wide("a.md", &format!("{words} words [a](https://a.example)")), "too many words");
    assert!(!wide("a.rs", &format!("    // https://{long}")));
    assert!(wide("a.rs", &format!("// see https://{}", &long[..86])), "it fits on its own line");
}

#[test]
fn only_records_may_have_wide_lines() {
    for path in [".ci/run", "README.md", "host/src/lib.rs", "Makefile", "a/run.sh", "a/b.new"] {
        assert!(is_written(Path::new(path)), "{path}");
    }
    for path in ["tests/bench/RESULTS.md", "plugin-api/abi/1.0/hotcall_plugin.h", "Cargo.lock"] {
        assert!(!is_written(Path::new(path)), "{path}");
    }
}
