//! Date-times from text. Writing them is `DateTime`'s own `Display`.

use hotcall_plugin::DateTime;

/// Reads every form of a date-time that XML-RPC clients send, or says `None`.
///
/// The date is `19980717` or `1998-07-17`; then `T` or a space; the time is `14:08:55` or `140855`, with a
/// fraction of a second or without (digits past the ninth are cut); then nothing, `Z`, `+hh:mm`, `+hhmm` or
/// `+hh` (or `-`).
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::parse_date_time;
/// let date = parse_date_time("1998-07-17T14:08:55.25+02:00").unwrap();
/// assert_eq!(date.to_string(), "19980717T14:08:55.25+02:00");
/// assert_eq!(parse_date_time("19980230T00:00:00"), None);
/// ```
pub fn parse_date_time(text: &str) -> Option<DateTime> {
    let mut rest = Cursor(text.as_bytes());
    let year = rest.number(4)?;
    let dashed = rest.skip(b"-");
    let month = rest.number(2)?;
    if dashed != rest.skip(b"-") {
        return None;
    }
    let day = rest.number(2)?;
    if !rest.skip(b"Tt ") {
        return None;
    }
    let hour = rest.number(2)?;
    let coloned = rest.skip(b":");
    let minute = rest.number(2)?;
    if coloned != rest.skip(b":") {
        return None;
    }
    let second = rest.number(2)?;
    let date = DateTime::new(year, byte(month)?, byte(day)?, byte(hour)?, byte(minute)?, byte(second)?)?
        .with_nanosecond(rest.fraction()?)?;
    let date = match rest.offset_minutes()? {
        Some(minutes) => date.with_offset_minutes(minutes)?,
        None => date,
    };
    rest.0.is_empty().then_some(date)
}

fn byte(number: u16) -> Option<u8> {
    number.try_into().ok()
}

/// The text that is still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Takes one byte when it is one of these.
    fn skip(&mut self, any_of: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if any_of.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digit(&mut self) -> Option<u16> {
        let (&first, rest) = self.0.split_first().filter(|(first, _)| first.is_ascii_digit())?;
        self.0 = rest;
        Some(u16::from(first - b'0'))
    }

    /// Exactly this many digits, at most four.
    fn number(&mut self, digits: usize) -> Option<u16> {
        (0..digits).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    /// The nanoseconds of a fraction; 0 when there is none, `None` for a point without digits.
    fn fraction(&mut self) -> Option<u32> {
        if !self.skip(b".,") {
            return Some(0);
        }
        let mut nanoseconds = u32::from(self.digit()?) * 100_000_000;
        let mut unit = 10_000_000;
        while let Some(digit) = self.digit() {
            nanoseconds += u32::from(digit) * unit;
            unit /= 10;
        }
        Some(nanoseconds)
    }

    fn offset_minutes(&mut self) -> Option<Option<i16>> {
        if self.skip(b"Zz") {
            return Some(Some(0));
        }
        let east = self.skip(b"+");
        if !east && !self.skip(b"-") {
            return Some(None);
        }
        let hours = self.number(2)?;
        let minutes = if self.skip(b":") || !self.0.is_empty() { self.number(2)? } else { 0 };
        if minutes > 59 {
            return None;
        }
        let offset = i16::try_from(hours * 60 + minutes).ok()?;
        Some(Some(if east { offset } else { -offset }))
    }
}

#[cfg(test)]
mod tests {
    use super::parse_date_time;

    #[test]
    fn every_form_that_clients_send_is_read() {
        for (text, expected) in [
            ("19980717T14:08:55", "19980717T14:08:55"),
            ("1998-07-17T14:08:55", "19980717T14:08:55"),
            ("1998-07-17 14:08:55", "19980717T14:08:55"),
            ("19980717T140855", "19980717T14:08:55"),
            ("1970-01-01T00:00:00.000Z", "19700101T00:00:00Z"),
            ("19980717T14:08:55Z", "19980717T14:08:55Z"),
            ("19980717T14:08:55+02:00", "19980717T14:08:55+02:00"),
            ("19980717T14:08:55-0530", "19980717T14:08:55-05:30"),
            ("19980717T14:08:55+02", "19980717T14:08:55+02:00"),
            ("19980717T14:08:55.5", "19980717T14:08:55.5"),
            ("19980717T14:08:55.1234567891", "19980717T14:08:55.123456789"),
            ("00000101T00:00:00", "00000101T00:00:00"),
            ("99991231T24:00:00", "99991231T24:00:00"),
            ("20161231T23:59:60Z", "20161231T23:59:60Z"),
        ] {
            assert_eq!(
                parse_date_time(text).map(|date| date.to_string()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for text in [
            "",
            "today",
            "19980717",
            "1998-0717T14:08:55",
            "199807-17T14:08:55",
            "19981317T14:08:55",
            "19980732T14:08:55",
            "19980717T25:08:55",
            "19980717T14:0855",
            "19980717T14:08:55.",
            "19980717T14:08:55x",
            "19980717T14:08:55+24:00",
            "19980717T14:08:55+01:75",
            "19980717T14:08:55+1",
            "1998071\u{0667}T14:08:55",
        ] {
            assert_eq!(parse_date_time(text), None, "{text}");
        }
    }
}
