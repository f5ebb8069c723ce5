//! An author's strict lints do not look into the macros' code: this file compiles without a
//! warning.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, non_upper_case_globals, non_snake_case, unused)]
#![deny(rust_2018_idioms, single_use_lifetimes, unused_qualifications, unused_lifetimes)]
#![deny(trivial_casts, unnameable_types)]

use hotcall_plugin::{Call, Fault, FromValue, Host, IntoValue, State, method, plugin};

/// A point.
#[derive(FromValue, IntoValue)]
pub struct Point<'a> {
    x: f64,
    #[hotcall(rename = "the name")]
    name: &'a str,
}

/// The state.
pub struct Greeter(Host);

impl State for Greeter {
    fn create(host: Host) -> Result<Self, Fault> {
        Ok(Self(host))
    }
}

impl Greeter {
    /// Greets.
    #[method(name = "greeter.greet", idempotent)]
    fn greet(&self, call: &Call, name: &str, title: Option<&str>) -> Result<String, Fault> {
        call.info(name);
        Ok(format!("{name}, {} of {}", title.unwrap_or("nobody"), self.0.version()))
    }
}

/// Moves a point.
#[method]
pub fn shift<'a>(point: Point<'a>, by: f64) -> Point<'a> {
    Point { x: point.x + by, ..point }
}

#[method(quick, signatures("nil()"))]
fn r#match() {}

#[cfg(any())]
#[method]
fn switched_off() {}

#[method]
#[cfg(any())]
fn switched_off_too() {}

plugin! {
    name: "greeter",
    version: "1.0.0",
    description: "Greets.",
    state: Greeter,
    methods: [Greeter::greet, shift, r#match],
}
