//! A sum that an int holds. Must not know what is added up.

use hotcall_plugin::Fault;

/// Adds numbers up; a sum that an int does not hold is a fault.
pub(crate) fn sum(numbers: impl Iterator<Item = i32>) -> Result<i32, Fault> {
    let total: i64 = numbers.map(i64::from).sum();
    i32::try_from(total)
        .map_err(|_| Fault::invalid_params(format!("the sum, {total}, exceeds a 32-bit int")))
}
