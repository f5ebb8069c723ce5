use hotcall_plugin::{Fault, Host, State, method, plugin};

pub struct Counter;

impl State for Counter {
    fn create(_: Host) -> Result<Self, Fault> {
        Ok(Self)
    }
}

impl Counter {
    #[method]
    pub fn one(&self) -> i32 {
        1
    }
}

plugin! {
    name: "counter",
    methods: [
        Counter::one, //~ ERROR a plugin whose state is `()` cannot list a method of another type
    ],
}
