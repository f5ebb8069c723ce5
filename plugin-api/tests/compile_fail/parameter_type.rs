use hotcall_plugin::method;

pub struct Celsius(pub f64);

#[method]
pub fn warm(at: Celsius) -> bool { //~ ERROR `Celsius` cannot be read from an XML-RPC value
    at.0 > 20.0
}
