//! How figures and lines of tables are written. Must not know what was measured.

use crate::samples::Samples;
use std::fmt::Write;

/// With digits in groups, and no more of them than mean something.
pub fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.*}", if value < 10.0 { 2 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Adds a line.
pub fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes it");
}

/// Median and spread, and what is void.
pub fn cells(samples: &Samples) -> [String; 2] {
    let (void, all) = (samples.void(), samples.count());
    let void = match void.first() {
        Some(why) => format!(" ({} of {all} void: {why})", void.len()),
        None => String::new(),
    };
    let median = samples.median().map_or_else(|| "void".to_owned(), number);
    [median, format!("{}{void}", spread(samples)).trim().to_owned()]
}

/// Empty where there is none.
pub fn median(samples: &Samples) -> String {
    samples.median().map(number).unwrap_or_default()
}

/// Empty where it would be the median.
pub fn spread(samples: &Samples) -> String {
    match samples.spread() {
        Some((least, most)) if samples.count() > 1 => {
            format!("{} to {}", number(least), number(most))
        }
        _ => String::new(),
    }
}
