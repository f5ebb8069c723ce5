use hotcall_plugin::{Fault, Host, State, method, plugin};

struct Counter;

impl State for Counter {
    fn create(_: Host) -> Result<Self, Fault> {
        Ok(Self)
    }
}

impl Counter {
    #[method] //~ ERROR `__in_an_impl_a_method_takes_self_and_increment_does_not`
    fn increment(by: i32) -> i32 {
        by
    }
}

plugin! {
    name: "counter",
    state: Counter,
    methods: [Counter::increment],
}
