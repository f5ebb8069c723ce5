//! How a test is declared. Must not know what it tests.

use hotcall_tests::foreign::is_left_out;
use libtest_mimic::Trial;

/// A test.
pub fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test that needs a program that may not be installed.
pub fn trial_with(program: &str, name: &str, test: fn()) -> Trial {
    trial(name, test).with_ignored_flag(is_left_out(program))
}
