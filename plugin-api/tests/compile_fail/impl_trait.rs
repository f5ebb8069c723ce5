use hotcall_plugin::method;

#[method]
pub fn length(
    text: impl AsRef<str>, //~ ERROR not `impl Trait`
) -> i32 {
    i32::try_from(text.as_ref().len()).unwrap_or(i32::MAX)
}
