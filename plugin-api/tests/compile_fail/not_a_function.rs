use hotcall_plugin::method;

/// Not a function.
#[method]
pub struct Thing; //~ ERROR #[method] goes on a function
