use hotcall_plugin::{Value, method};

#[method(signatures("int(number)"))] //~ ERROR `number` is no type
pub fn one(_: Value) -> i32 {
    1
}

#[method(signatures("int"))] //~ ERROR a signature looks like
pub fn two() -> i32 {
    2
}

#[method(signatures("int(int, int)"))] //~ ERROR the function has 1 parameters, this signature more
pub fn three(_: Value) -> i32 {
    3
}
