use hotcall_plugin::{Fault, Host, State, plugin};

struct Counter;

impl State for Counter {
    fn create(_: Host) -> Result<Self, Fault> {
        Ok(Self)
    }
}

impl Counter {
    fn increment(&self) -> i32 {
        1
    }
}

plugin! {
    name: "counter",
    state: Counter,
    methods: [
        Counter::increment, //~ ERROR `__put_hotcall_plugin_method_above_fn_increment`
    ],
}
