use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

plugin! {
    name: "sums",
    methods: [
        one,
        one, //~ ERROR this method is listed twice
    ],
}
