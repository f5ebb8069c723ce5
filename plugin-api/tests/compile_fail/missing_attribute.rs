use hotcall_plugin::{method, plugin};

#[method]
fn add(a: i32, b: i32) -> i32 {
    a + b
}

fn subtract(a: i32, b: i32) -> i32 {
    a - b
}

plugin! {
    name: "sums",
    methods: [
        add,
        subtract, //~ ERROR `__put_hotcall_plugin_method_above_fn_subtract`
    ],
}
