use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

plugin! { methods: [one] } //~ ERROR plugin! needs `name
