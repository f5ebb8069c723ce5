use hotcall_plugin::{Fault, Host, State, method, plugin};

pub struct Counter;
pub struct Other;

impl State for Counter {
    fn create(_: Host) -> Result<Self, Fault> {
        Ok(Self)
    }
}

impl State for Other {
    fn create(_: Host) -> Result<Self, Fault> {
        Ok(Self)
    }
}

impl Other {
    #[method]
    pub fn one(&self) -> i32 {
        1
    }
}

plugin! {
    name: "counter",
    state: Counter,
    methods: [
        Other::one, //~ ERROR a plugin whose state is `Counter` cannot list a method of another type
    ],
}
