use hotcall_plugin::{FromValue, IntoValue};

#[derive(FromValue)]
pub enum Colour { //~ ERROR derived for structs with named fields
    Red,
}

#[derive(IntoValue)]
pub struct Pair(pub i32, pub i32); //~ ERROR derived for structs with named fields

#[derive(FromValue)]
pub struct Unit; //~ ERROR derived for structs with named fields
