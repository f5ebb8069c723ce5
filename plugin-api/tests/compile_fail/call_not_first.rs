use hotcall_plugin::{Call, method};

#[method]
pub fn greet(
    name: &str,
    call: &Call, //~ ERROR `&Call` comes before every other parameter
) -> String {
    format!("{name} {}", call.request_id())
}
