//! Parses date-times, reduces them to their plainest form, and writes that. `DateTime`'s `Display`
//! writes all forms.

use hotcall_plugin::DateTime;

/// Reads every form of a date-time that XML-RPC clients send, or says `None`.
///
/// The date is `19980717` or `1998-07-17`; then `T` or a space; the time is `14:08:55` or `140855`,
/// with a fraction of a second or without (digits past the ninth are cut); then nothing, `Z`,
/// `+hh:mm`, `+hhmm` or `+hh` (or `-`). What is read is kept as it is, fraction and offset too:
/// nothing is converted to another zone, and without an offset there is none.
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
    let date =
        DateTime::new(year, byte(month)?, byte(day)?, byte(hour)?, byte(minute)?, byte(second)?)?
            .with_nanosecond(rest.fraction()?)?;
    let date = match rest.offset_minutes()? {
        Some(minutes) => date.with_offset_minutes(minutes)?,
        None => date,
    };
    rest.0.is_empty().then_some(date)
}

/// The same second in the form that all readers take: without fraction or offset, in UTC when the
/// offset is known, the hour at most 23 and the second at most 59. `None` when its year is not one
/// of 0001 to 9999.
///
/// 24:00:00 is the next day's 00:00:00 (ISO 8601:2004, section 4.2.3). A second 60 becomes the next
/// minute's second 0, which POSIX counts as the same (IEEE 1003.1-2017, section 4.16, "Seconds
/// Since the Epoch"), so that it never comes before what it followed.
pub(super) fn plain(date: DateTime) -> Option<DateTime> {
    const DAY: i32 = 24 * 60;
    let (second, carried) = if date.second() == 60 { (0, 1) } else { (date.second(), 0) };
    let minutes = i32::from(date.hour()) * 60 + i32::from(date.minute()) + carried;
    let minutes = minutes - i32::from(date.offset_minutes().unwrap_or(0));
    let (year, month, day) = (date.year(), date.month(), date.day());
    // An offset is less than a day, and what a day has at most is the next one's beginning.
    let (year, month, day) = match minutes.div_euclid(DAY) {
        ..0 => day_before(year, month, day)?,
        0 => (year, month, day),
        _ => day_after(year, month, day)?,
    };
    let minutes = minutes.rem_euclid(DAY);
    let (hour, minute) = (u8::try_from(minutes / 60).ok()?, u8::try_from(minutes % 60).ok()?);
    DateTime::new(year, month, day, hour, minute, second).filter(|date| date.year() > 0)
}

/// Writes `19980717T14:08:55` as `Display` does. `None`: the date has a fraction or an offset.
pub(super) fn short_text(date: DateTime) -> Option<[u8; 17]> {
    if date.nanosecond() != 0 || date.offset_minutes().is_some() {
        return None;
    }
    let two = |number: u8| [b'0' + number / 10, b'0' + number % 10];
    let [millennium, century] = two(byte(date.year() / 100)?);
    let [decade, year] = two(byte(date.year() % 100)?);
    let [[m, month], [d, day]] = [two(date.month()), two(date.day())];
    let [[h, hour], [min, minute]] = [two(date.hour()), two(date.minute())];
    let [s, second] = two(date.second());
    Some([
        millennium, century, decade, year, m, month, d, day, b'T', h, hour, b':', min, minute,
        b':', s, second,
    ])
}

fn day_before(year: u16, month: u8, day: u8) -> Option<(u16, u8, u8)> {
    let (year, month) = match (month, day) {
        (1, 1) => return Some((year.checked_sub(1)?, 12, 31)),
        (_, 1) => (year, month - 1),
        _ => return Some((year, month, day - 1)),
    };
    let last = (28..=31).rev().find(|&day| DateTime::new(year, month, day, 0, 0, 0).is_some())?;
    Some((year, month, last))
}

fn day_after(year: u16, month: u8, day: u8) -> Option<(u16, u8, u8)> {
    match (DateTime::new(year, month, day + 1, 0, 0, 0), month) {
        (Some(_), _) => Some((year, month, day + 1)),
        (None, 12) => Some((year + 1, 1, 1)),
        (None, _) => Some((year, month + 1, 1)),
    }
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
    use super::{parse_date_time, plain};

    #[test]
    fn the_plain_form_is_in_utc_when_the_offset_is_known() {
        for (text, expected) in [
            ("19980717T14:08:55", Some("19980717T14:08:55")),
            ("19980717T24:00:00", Some("19980718T00:00:00")),
            ("20240228T24:00:00.5", Some("20240229T00:00:00")),
            ("20231231T24:00:00+23:59", Some("20231231T00:01:00")),
            ("20231231T24:00:00-23:59", Some("20240101T23:59:00")),
            ("20161231T23:59:60", Some("20170101T00:00:00")),
            ("20161231T23:59:60.999Z", Some("20170101T00:00:00")),
            ("20170101T00:59:60+01:00", Some("20170101T00:00:00")),
            ("20161231T23:59:60-23:59", Some("20170101T23:59:00")),
            ("19980717T14:08:60", Some("19980717T14:09:00")),
            ("19980717T14:08:55.999999999", Some("19980717T14:08:55")),
            ("19980717T14:08:55.5Z", Some("19980717T14:08:55")),
            ("19980717T14:08:55+02:30", Some("19980717T11:38:55")),
            ("19980717T14:08:55-02:30", Some("19980717T16:38:55")),
            ("20240301T00:30:00+01:00", Some("20240229T23:30:00")),
            ("20230301T00:30:00+01:00", Some("20230228T23:30:00")),
            ("20240229T23:30:00-01:00", Some("20240301T00:30:00")),
            ("20231231T23:59:60-00:01", Some("20240101T00:01:00")),
            ("20240101T00:00:00+00:01", Some("20231231T23:59:00")),
            ("20231231T24:00:00Z", Some("20240101T00:00:00")),
            ("00011231T24:00:00", Some("00020101T00:00:00")),
            ("00001231T24:00:00", Some("00010101T00:00:00")),
            ("00001231T23:59:00-00:01", Some("00010101T00:00:00")),
            ("00000101T00:00:00+00:01", None),
            ("00000717T14:08:55", None),
            ("00010101T00:00:00+00:01", None),
            ("99991231T23:59:00-00:01", None),
            ("99991231T23:59:60", None),
            ("99991231T24:00:00", None),
            ("99991231T24:00:00+00:01", Some("99991231T23:59:00")),
        ] {
            let plain = plain(parse_date_time(text).unwrap()).map(|date| date.to_string());
            assert_eq!(plain.as_deref(), expected, "{text}");
        }
    }

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
