use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

#[method(name = "one")]
pub fn uno() -> i32 {
    1
}

plugin! {
    name: "sums",
    methods: [
        one,
        uno, //~ ERROR this plugin lists another method of the same name
    ],
}
