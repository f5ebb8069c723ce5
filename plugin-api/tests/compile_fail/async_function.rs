use hotcall_plugin::method;

#[method]
pub async fn slow() -> i32 { //~ ERROR a method is not async
    1
}
