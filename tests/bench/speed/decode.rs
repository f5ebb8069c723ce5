//! Decoders: ours, dxr's and Python's, of the same document, one after the other.

use crate::documents::{self, INTS};
use crate::peers::{Programs, python};
use crate::plan::Form;
use crate::samples::Samples;
use hotcall::xmlrpc::{DecodeLimits, Store, Unlimited, decode_call_in};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Nanoseconds for each int.
#[derive(Default)]
pub struct Decoders {
    /// Ours.
    pub hotcall: Samples,
    /// dxr's.
    pub dxr: Samples,
    /// Python's.
    pub python: Samples,
}

impl Decoders {
    /// Measures each once more.
    pub fn run(&mut self, programs: &Programs, form: &Form) {
        let exchange = documents::sum();
        let file = programs.directory().join("decoded.xml");
        fs::write(&file, &exchange.document).unwrap();
        self.hotcall.add(Ok(each(ours(&exchange.document, form.decode))));
        self.dxr.add(theirs(programs.dxr(), &file, form.decode));
        self.python.add(theirs(python(), &file, form.decode));
    }
}

/// From the whole document to one int.
fn each(nanoseconds: f64) -> f64 {
    nanoseconds / f64::from(INTS)
}

fn ours(document: &str, time: Duration) -> f64 {
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < time {
        Store::with(|store| {
            let call = decode_call_in(
                black_box(document.as_bytes()),
                &DecodeLimits::default(),
                store,
                &Unlimited,
            );
            black_box(call.unwrap().params.items());
        });
        count += 1;
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// A peer's own program measures likewise.
fn theirs(mut command: Command, file: &Path, time: Duration) -> Result<f64, String> {
    let output = command.arg("decode").arg(file).arg(time.as_millis().to_string()).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = |_| format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim().parse().map(each).map_err(failed)
}
