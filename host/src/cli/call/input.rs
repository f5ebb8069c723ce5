//! The arguments of a call, with those that stand on standard input.

use crate::cli::json;
use crate::cli::output::{Failure, read_whole};
use crate::xmlrpc::Value;
use std::io::Read;

/// How much is read from standard input: as much as a call may be large.
const STDIN_BYTES_MAX: usize = 64 << 20;

/// The values of the arguments, in order. `stdin` is read only if one of them asks for it.
pub(super) fn params(arguments: &[String], mut stdin: impl Read) -> Result<Vec<Value>, Failure> {
    let asks = |argument: &&String| matches!(argument.as_str(), "-" | "base64:@-");
    if arguments.iter().filter(asks).count() > 1 {
        return Err(Failure::new("standard input can stand for one argument only"));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument.as_str() {
            "-" => {
                let text = String::from_utf8(all(&mut stdin)?);
                let text = text.map_err(|_| Failure::new("standard input is not UTF-8 text"))?;
                values.extend(json::values("standard input", &text)?);
            }
            "base64:@-" => values.push(Value::Binary(all(&mut stdin)?)),
            argument => values.push(json::argument(argument)?),
        }
    }
    Ok(values)
}

fn all(stdin: impl Read) -> Result<Vec<u8>, Failure> {
    read_whole("standard input", stdin, STDIN_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], stdin: &str) -> Result<Vec<Value>, String> {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        params(&arguments, stdin.as_bytes()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn standard_input_stands_where_the_dash_stands() {
        let all = read(&["1", "-", "string:-"], " 2\n[3,\n 4] \"-\"\n").unwrap();
        let inner = Value::Array(vec![Value::Int(3), Value::Int(4)]);
        assert_eq!(all, [Value::Int(1), Value::Int(2), inner, Value::from("-"), Value::from("-")]);
        assert_eq!(read(&["base64:@-"], "\u{0}x\n").unwrap(), [Value::Binary(b"\0x\n".to_vec())]);
        assert_eq!(read(&["-5"], "not read").unwrap(), [Value::Int(-5)]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (arguments, stdin, expected) in [
            (&["-", "base64:@-"][..], "1", "one argument only"),
            (&["-"], " \n", "standard input holds no JSON value"),
            (&["-"], "1 x", "standard input is not JSON: expected value at line 1 column 3"),
            (&["-"], "99999999999999999999", "99999999999999999999 does not fit in 64 bits"),
        ] {
            let failure = read(arguments, stdin).unwrap_err();
            assert!(failure.contains(expected), "{failure}");
        }
    }
}
