//! XML-RPC values as owned Rust data. The host decodes and encodes them, and a plugin uses them
//! where a type is only known at run time.
//!
//! The host re-exports these types, so that there is one type from the plugin to the client.

use crate::types::Type;
use std::fmt;

/// One XML-RPC value (XML-RPC specification, "Scalar `<value>`s", "`<struct>`s" and "`<array>`s",
/// with the common extensions nil and i8).
///
/// # Examples
/// ```
/// use hotcall_plugin::Value;
/// let point = Value::Struct(vec![("x".into(), Value::Int(1)), ("y".into(), Value::Double(0.5))]);
/// assert_eq!(point.get("x"), Some(&Value::Int(1)));
/// assert_eq!(point.type_name(), "struct");
/// ```
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// `<nil/>`.
    #[default]
    Nil,
    /// `<boolean>`.
    Bool(bool),
    /// `<int>` or `<i4>`: 32 bits.
    Int(i32),
    /// `<i8>`: 64 bits.
    Long(i64),
    /// `<double>`.
    Double(f64),
    /// `<string>`.
    String(String),
    /// `<dateTime.iso8601>`.
    DateTime(DateTime),
    /// `<base64>`.
    Binary(Vec<u8>),
    /// `<array>`.
    Array(Vec<Value>),
    /// `<struct>`: members in order. Names are unique in what the host decodes.
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// The name under which signatures and messages speak of this value's type.
    pub const fn type_name(&self) -> &'static str {
        let of = match self {
            Self::Nil => Type::Nil,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Long(_) => Type::Long,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::DateTime(_) => Type::DateTime,
            Self::Binary(_) => Type::Binary,
            Self::Array(_) => Type::Array,
            Self::Struct(_) => Type::Struct,
        };
        of.name()
    }

    /// The member of that name, when this is a struct that has it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct(members) => {
                members.iter().find(|(n, _)| n == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self { Self::$variant(value.into()) }
        })*
    };
}
from!(bool => Bool, i32 => Int, i64 => Long, f64 => Double, String => String, &str => String,
      DateTime => DateTime, Vec<Value> => Array, Vec<(String, Value)> => Struct);

/// A date and time as XML-RPC has it: a wall-clock reading, whose offset from UTC is known only
/// when the sender wrote one. Every field is in range, by construction.
///
/// In a result, the server's configuration decides how much of it a client sees. By default that is
/// the specification's form, `19980717T14:08:55`: a fraction is cut, and with an offset the date is
/// written in UTC, without saying so. A date without an offset is written as it is, but for
/// 24:00:00 and a second 60, which become the next day's or minute's beginning. The year 0 is a
/// fault. With `dates = "exact"` all is written as it is, fraction and offset too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DateTime {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
    offset_minutes: Option<i16>,
}

impl DateTime {
    /// A date and time without offset, or `None` when no calendar has it.
    ///
    /// `second` may be 60 (a leap second) and `hour` 24 with the rest zero (ISO 8601, end of day).
    ///
    /// # Examples
    /// ```
    /// use hotcall_plugin::DateTime;
    /// assert_eq!(DateTime::new(1998, 7, 17, 14, 8, 55).unwrap().to_string(), "19980717T14:08:55");
    /// assert_eq!(DateTime::new(2026, 2, 29, 0, 0, 0), None);
    /// ```
    pub const fn new(
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
    ) -> Option<Self> {
        let in_day = hour < 24 || (hour == 24 && minute == 0 && second == 0);
        let in_range = year <= 9999 && month >= 1 && month <= 12 && minute < 60 && second <= 60;
        if !in_day || !in_range || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        Some(Self { year, month, day, hour, minute, second, nanosecond: 0, offset_minutes: None })
    }

    /// The same with a fraction of a second, or `None` at a whole second or more.
    #[must_use]
    pub const fn with_nanosecond(mut self, nanosecond: u32) -> Option<Self> {
        self.nanosecond = nanosecond;
        if nanosecond < 1_000_000_000 { Some(self) } else { None }
    }

    /// The same with an offset east of UTC, or `None` at a day or more.
    #[must_use]
    pub const fn with_offset_minutes(mut self, minutes: i16) -> Option<Self> {
        self.offset_minutes = Some(minutes);
        if minutes.unsigned_abs() < 24 * 60 { Some(self) } else { None }
    }

    /// 0 to 9999.
    pub const fn year(&self) -> u16 {
        self.year
    }
    /// 1 to 12.
    pub const fn month(&self) -> u8 {
        self.month
    }
    /// 1 to 31.
    pub const fn day(&self) -> u8 {
        self.day
    }
    /// 0 to 24.
    pub const fn hour(&self) -> u8 {
        self.hour
    }
    /// 0 to 59.
    pub const fn minute(&self) -> u8 {
        self.minute
    }
    /// 0 to 60.
    pub const fn second(&self) -> u8 {
        self.second
    }
    /// 0 to 999,999,999.
    pub const fn nanosecond(&self) -> u32 {
        self.nanosecond
    }
    /// Minutes east of UTC, when known.
    pub const fn offset_minutes(&self) -> Option<i16> {
        self.offset_minutes
    }
}

const fn days_in_month(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Writes `19980717T14:08:55`, the form of the XML-RPC specification, which every client reads; a
/// fraction and an offset are added only when there is one.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(f, "{year:04}{month:02}{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanosecond != 0 {
            let digits = format!("{:09}", self.nanosecond);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        match self.offset_minutes {
            None => Ok(()),
            Some(0) => f.write_str("Z"),
            Some(minutes) => {
                let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}
