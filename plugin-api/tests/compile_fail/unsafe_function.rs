use hotcall_plugin::method;

#[method]
pub unsafe fn raw() -> i32 { //~ ERROR a method is a safe function
    1
}
