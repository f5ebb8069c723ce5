use hotcall_plugin::method;

pub struct Counter(pub i32);

impl Counter {
    #[method]
    pub fn take(self) -> i32 { //~ ERROR a method takes `&self`
        self.0
    }

    #[method]
    pub fn increment(
        &mut self, //~ ERROR a method takes `&self`
    ) -> i32 {
        self.0 += 1;
        self.0
    }
}
