use hotcall_plugin::FromValue;

#[derive(FromValue)]
pub struct One {
    #[hotcall(name = "b")] //~ ERROR unknown option
    pub a: i32,
}

#[derive(FromValue)]
pub struct Two {
    pub a: i32,
    #[hotcall(rename = "a")]
    pub b: i32, //~ ERROR another field is the member `a` already
}
