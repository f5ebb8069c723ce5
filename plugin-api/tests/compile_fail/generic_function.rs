use hotcall_plugin::{FromValue, method};

#[method]
pub fn size<
    T: for<'a> FromValue<'a>, //~ ERROR a method is not generic
>(
    _value: T,
) -> i32 {
    1
}
