use hotcall_plugin::{method, plugin};

#[method]
pub fn one() -> i32 {
    1
}

plugin! {
    name: "sums",
    handover: true, //~ ERROR `handover` needs a `state: Type`
    methods: [one],
}
