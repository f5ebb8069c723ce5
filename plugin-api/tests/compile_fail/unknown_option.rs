use hotcall_plugin::method;

#[method(fast)] //~ ERROR unknown option
pub fn one() -> i32 {
    1
}
