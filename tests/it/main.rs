//! Hotcall's end-to-end tests. `cargo test -p hotcall-tests -- NAME` runs those whose name holds NAME.

mod calls;
mod cli;
mod control;
mod corpus;
mod defects;
mod encoding;
mod http;
mod killed;
mod new;
mod readme;
mod reload;
mod serving;
mod trust;
mod watching;

use hotcall_tests::foreign;
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let groups = [
        calls::trials(),
        cli::trials(),
        control::trials(),
        corpus::trials(),
        defects::trials(),
        encoding::trials(),
        http::trials(),
        killed::trials(),
        new::trials(),
        readme::trials(),
        reload::trials(),
        serving::trials(),
        trust::trials(),
        watching::trials(),
    ];
    libtest_mimic::run(&arguments, groups.into_iter().flatten().collect()).exit();
}

/// A test.
fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test that needs a program that may not be installed.
fn trial_with(program: &str, name: &str, test: fn()) -> Trial {
    trial(name, test).with_ignored_flag(foreign::is_left_out(program))
}
