//! A writer of documents that is plainly right: it formats each value with the standard library,
//! and text character by character. The encoder's documents are compared with it.

use crate::xmlrpc::{DateTime, Dates, EncodeStyle, I8Style, NilStyle, Value};
use jiff::ToSpan;
use openssl::base64::encode_block;
use std::fmt::Write;

/// A response with a value that the style can carry.
pub(crate) fn response(value: &Value, style: EncodeStyle) -> String {
    let namespace = match (style.i8, style.nil) {
        (I8Style::Plain, NilStyle::Plain | NilStyle::Refuse) => "",
        _ => " xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\"",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse{namespace}><params><param>\
         {}</param></params></methodResponse>\n",
        element(value, style)
    )
}

fn element(value: &Value, style: EncodeStyle) -> String {
    let inside = match value {
        Value::Nil if style.nil == NilStyle::Ex => "<ex:nil/>".to_owned(),
        Value::Nil => "<nil/>".to_owned(),
        Value::Bool(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
        Value::Int(number) => format!("<int>{number}</int>"),
        Value::Long(number) if style.i8 == I8Style::Ex => format!("<ex:i8>{number}</ex:i8>"),
        Value::Long(number) => format!("<i8>{number}</i8>"),
        Value::Double(number) if number.fract() == 0.0 => format!("<double>{number}.0</double>"),
        Value::Double(number) => format!("<double>{number}</double>"),
        Value::String(string) => format!("<string>{}</string>", text(string)),
        Value::DateTime(date) => {
            let is_plain = style.dates == Dates::Plain;
            let date = if is_plain { in_utc(*date).unwrap_or(*date) } else { *date };
            format!("<dateTime.iso8601>{date}</dateTime.iso8601>")
        }
        Value::Binary(bytes) => format!("<base64>{}</base64>", encode_block(bytes)),
        Value::Array(items) => {
            let items: String = items.iter().map(|item| element(item, style)).collect();
            format!("<array><data>{items}</data></array>")
        }
        Value::Struct(members) => {
            let mut inside = String::new();
            for (name, value) in members {
                let (name, value) = (text(name), element(value, style));
                let _ = write!(inside, "<member><name>{name}</name>{value}</member>");
            }
            format!("<struct>{inside}</struct>")
        }
    };
    format!("<value>{inside}</value>")
}

fn text(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\r' => escaped.push_str("&#13;"),
            c if is_forbidden(c) => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The definition of XML 1.0 (section 2.2, "Char"), turned round.
pub(crate) fn is_forbidden(c: char) -> bool {
    !matches!(
        c,
        '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..
    )
}

/// By a calendar of others, whose years begin before 0000.
pub(crate) fn in_utc(date: DateTime) -> Option<DateTime> {
    let small = |number: u8| i8::try_from(number).ok();
    let midnight = jiff::civil::date(
        i16::try_from(date.year()).ok()?,
        small(date.month())?,
        small(date.day())?,
    )
    .at(0, 0, 0, 0);
    let minutes = i64::from(date.hour()) * 60 + i64::from(date.minute());
    let minutes = minutes - i64::from(date.offset_minutes().unwrap_or(0));
    let utc = midnight.checked_add((minutes * 60 + i64::from(date.second())).seconds()).ok()?;
    let small = |number: i8| u8::try_from(number).ok();
    DateTime::new(
        u16::try_from(utc.year()).ok().filter(|year| *year > 0)?,
        small(utc.month())?,
        small(utc.day())?,
        small(utc.hour())?,
        small(utc.minute())?,
        small(utc.second())?,
    )
}
