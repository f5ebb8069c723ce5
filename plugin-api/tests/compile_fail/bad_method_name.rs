use hotcall_plugin::method;

#[method(name = "two words")] //~ ERROR a method's name is made of ASCII letters
pub fn one() -> i32 {
    1
}

#[method(name = "system.listMethods")] //~ ERROR names that begin with `system.` are the
pub fn two() -> i32 {
    2
}

#[method(name = "hotcall.three")] //~ ERROR names that begin with `hotcall.` are the server's own
pub fn three() -> i32 {
    3
}

#[method]
pub fn größe() -> i32 { //~ ERROR a method's name is made of ASCII letters
    4
}
