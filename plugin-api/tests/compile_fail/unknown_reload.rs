use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

plugin! {
    name: "sums",
    reload: alone, //~ ERROR unknown reload mode `alone`; the modes are overlap, exclusive
    methods: [one],
}
