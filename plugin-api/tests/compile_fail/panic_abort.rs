//@ -C panic=abort
use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

plugin! { //~ ERROR a plugin is built with panic = "unwind"
    name: "sums",
    methods: [one],
}
