use hotcall_plugin::{FromValue, IntoValue};

pub struct Celsius(pub f64);

#[derive(FromValue)]
pub struct Asked {
    pub at: Celsius, //~ ERROR `Celsius` cannot be read from an XML-RPC value
}

#[derive(IntoValue)]
pub struct Answered {
    pub at: Celsius, //~ ERROR `Celsius` cannot become an XML-RPC value
}
