use hotcall_plugin::method;

pub struct Celsius(pub f64);

#[method]
pub fn warmest() -> Celsius { //~ ERROR `Celsius` cannot be a method's result
    Celsius(56.7)
}
