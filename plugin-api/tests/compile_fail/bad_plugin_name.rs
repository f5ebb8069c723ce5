use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

plugin! {
    name: "my.sums", //~ ERROR a plugin's name is made of ASCII letters
    methods: [one],
}
