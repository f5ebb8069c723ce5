//! Encodes values strictly: XML 1.0 that every parser reads and that keeps each value exactly, or
//! a fault.
//!
//! A value is written as its tree is walked, for each kind of owner: what a plugin left in its
//! arena is checked on the way and not copied first.

mod double;
mod special;

use super::binary;
use super::chars::forbidden;
use super::date::{plain, short_text};
use super::extensions::EX_NAMESPACE;
use super::fault::{Fault, code};
use super::resources::{Resources, Stop, Unlimited};
use super::style::{Dates, EncodeStyle, I8Style, InvalidChars, NilStyle};
use hotcall_plugin::tree::{Defect, ReadLimits, Tree, View};
use hotcall_plugin::walk::{Step, Walk};
use hotcall_plugin::{DateTime, Value};
use std::fmt;
use std::io::Write;

/// How a document is written, and how large before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The whole document.
    pub bytes_max: usize,
    /// Where clients differ in what they read.
    pub style: EncodeStyle,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, style: EncodeStyle::default() }
    }
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// The result is no tree within the limits.
    Defect(Defect),
    /// It is one, and cannot be sent.
    Fault(Fault),
}

impl Unwritten {
    /// Of an owned value, which has no defect.
    fn of_owned(self) -> Fault {
        match self {
            Self::Defect(defect) => Fault::new(code::INTERNAL, format!("a value has {defect}")),
            Self::Fault(fault) => fault,
        }
    }
}

impl From<Fault> for Unwritten {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Defect> for Unwritten {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

/// How much of a fault's message is sent, so that a fault can always be.
const FAULT_CHARS_MAX: usize = 65_536;

/// The first allocation of a document, which is not counted. Most responses need no more.
const BYTES_FREE: usize = 512;

/// The first length at which the whole document's is estimated. Shorter ones grow quickly enough.
const FORECAST_BYTES: usize = 64 << 10;
/// An estimate gives a document room for so many times its length at most. It is estimated again
/// when it has half of that.
const FORECAST_GROWTH: usize = 64;
/// One byte in so many is added to an estimate.
const FORECAST_SPARE: usize = 16;

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A response document with this result.
///
/// # Errors
/// A fault to answer with instead: the result is larger than the limit, or holds what XML or
/// XML-RPC cannot carry (a control character in a text; NaN or an infinity), or the style refuses.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{EncodeOptions, Value, encode_response};
/// let document = encode_response(&Value::from("a < b"), &EncodeOptions::default()).unwrap();
/// let document = String::from_utf8(document).unwrap();
/// assert!(document.contains("<value><string>a &lt; b</string></value>"));
/// ```
pub fn encode_response(result: &Value, options: &EncodeOptions) -> Result<Vec<u8>, Fault> {
    encode_result(result.into(), ReadLimits::NONE, options, &Unlimited).map_err(Unwritten::of_owned)
}

/// Like [`encode_response`], of a result that is checked on the way, and reserves memory as the
/// document grows.
///
/// # Errors
/// The first defect in the result, wherever it is; the faults of [`encode_response`]; and -32002
/// when too little memory is left.
pub fn encode_result(
    result: Tree<'_>,
    limits: ReadLimits,
    options: &EncodeOptions,
    resources: &dyn Resources,
) -> Result<Vec<u8>, Unwritten> {
    let mut document = Writer::new(*options, "result", resources);
    document.root("<methodResponse", "><params><param>")?;
    document.value(result, limits)?;
    document.put("</param></params></methodResponse>\n")?;
    Ok(document.finish())
}

/// What a value takes in a document, in bytes.
///
/// # Errors
/// As [`encode_result`], were this the result.
pub(crate) fn encoded_len(
    value: &Value,
    options: &EncodeOptions,
    resources: &dyn Resources,
) -> Result<usize, Fault> {
    let (bytes, granted, forecast_at) = (Vec::new(), 0, FORECAST_BYTES);
    let mut document =
        Writer { bytes, granted, forecast_at, resources, options: *options, subject: "result" };
    let written = document.owned(value);
    resources.give_back(document.granted);
    written.map(|()| document.bytes.len())
}

/// A response document with this fault. Cannot fail: characters that XML cannot carry are replaced,
/// and a message past 65,536 characters is cut.
pub fn encode_fault(fault: &Fault) -> Vec<u8> {
    let mut text = String::with_capacity(fault.message.len().min(FAULT_CHARS_MAX));
    for c in fault.message.chars().take(FAULT_CHARS_MAX) {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '\r' => text.push_str("&#13;"),
            _ if forbidden(c) => text.push(char::REPLACEMENT_CHARACTER),
            _ => text.push(c),
        }
    }
    format!(
        "{PROLOG}<methodResponse><fault><value><struct>\
         <member><name>faultCode</name><value><int>{}</int></value></member>\
         <member><name>faultString</name><value><string>{text}</string></value></member>\
         </struct></value></fault></methodResponse>\n",
        fault.code
    )
    .into_bytes()
}

/// The struct that stands for a fault inside of a value, as a batch's results have it. Its text can
/// be sent whatever was in the message, as that of [`encode_fault`].
pub(crate) fn fault_value(fault: &Fault) -> Value {
    let sendable = |c: char| if forbidden(c) { char::REPLACEMENT_CHARACTER } else { c };
    let text: String = fault.message.chars().take(FAULT_CHARS_MAX).map(sendable).collect();
    Value::Struct(vec![
        ("faultCode".into(), fault.code.into()),
        ("faultString".into(), text.into()),
    ])
}

/// A request document.
///
/// # Errors
/// As [`encode_response`], of the parameters.
pub fn encode_call(
    method: &str,
    params: &[Value],
    options: &EncodeOptions,
) -> Result<Vec<u8>, Fault> {
    let mut document = Writer::new(*options, "call", &Unlimited);
    document.root("<methodCall", "><methodName>")?;
    document.text(method)?;
    document.put("</methodName><params>")?;
    for param in params {
        document.put("<param>")?;
        document.owned(param)?;
        document.put("</param>")?;
    }
    document.put("</params></methodCall>\n")?;
    Ok(document.finish())
}

/// A document that grows up to its limit.
struct Writer<'r> {
    bytes: Vec<u8>,
    /// The length that the reserved memory allows.
    granted: usize,
    /// The length at which it is estimated how long the document will be.
    forecast_at: usize,
    resources: &'r dyn Resources,
    options: EncodeOptions,
    /// What messages call it.
    subject: &'static str,
}

impl<'r> Writer<'r> {
    fn new(options: EncodeOptions, subject: &'static str, resources: &'r dyn Resources) -> Self {
        let mut bytes = Vec::with_capacity(BYTES_FREE);
        bytes.extend_from_slice(PROLOG.as_bytes());
        let granted = BYTES_FREE.min(options.bytes_max);
        Self { bytes, granted, forecast_at: FORECAST_BYTES, resources, options, subject }
    }

    /// Returns the document, and gives back the memory that it does not use.
    fn finish(mut self) -> Vec<u8> {
        let len = self.bytes.len().max(BYTES_FREE);
        if self.bytes.capacity() > len + len / 2 {
            self.bytes.shrink_to_fit();
        }
        self.resources.give_back(self.granted.saturating_sub(self.bytes.len().max(BYTES_FREE)));
        self.bytes
    }

    /// Writes the start tag of the document's element, and what follows. The namespace is declared
    /// whenever the style may need it, as Apache's servers do.
    fn root(&mut self, start: &str, rest: &str) -> Result<(), Fault> {
        self.put(start)?;
        if self.options.style.needs_namespace() {
            self.put_all([" xmlns:ex=\"", EX_NAMESPACE, "\""])?;
        }
        self.put(rest)
    }

    /// Writes an owned value.
    fn owned(&mut self, value: &Value) -> Result<(), Fault> {
        self.value(value.into(), ReadLimits::NONE).map_err(Unwritten::of_owned)
    }

    /// Writes a value of any depth, and checks it on the way. A defect counts before what cannot be
    /// written, wherever both are: a broken plugin must not look like one with an unusual result.
    #[inline]
    fn value(&mut self, value: Tree<'_>, limits: ReadLimits) -> Result<(), Unwritten> {
        let mut walk = value.walk(limits);
        self.steps(&mut walk).map_err(|why| match walk.defect() {
            Some(defect) => defect.into(),
            None => why,
        })
    }

    #[inline]
    fn steps(&mut self, walk: &mut Walk<'_>) -> Result<(), Unwritten> {
        // Whether the last step began a struct: then no member is to be ended before the next one.
        let mut is_first = false;
        while let Some(step) = walk.next() {
            let step = step?;
            if self.bytes.len() >= self.forecast_at {
                self.forecast(walk.given());
            }
            match step {
                Step::Value(value) => self.start(value)?,
                Step::Name(name) if is_first => self.element("<member><name>", name, "</name>")?,
                Step::Name(name) => self.element("</member><member><name>", name, "</name>")?,
                Step::EndArray => self.put("</data></array></value>")?,
                Step::EndStruct if is_first => self.put("</struct></value>")?,
                Step::EndStruct => self.put("</member></struct></value>")?,
            }
            is_first = matches!(step, Step::Value(View::Struct(_)));
        }
        Ok(())
    }

    /// Writes a scalar whole, or a container's start.
    fn start(&mut self, value: View<'_>) -> Result<(), Fault> {
        match value {
            View::Nil => self.nil(),
            View::Bool(true) => self.put("<value><boolean>1</boolean></value>"),
            View::Bool(false) => self.put("<value><boolean>0</boolean></value>"),
            View::Int(number) => {
                let digits = &mut itoa::Buffer::new();
                self.put_all(["<value><int>", digits.format(number), "</int></value>"])
            }
            View::Long(number) => self.long(number),
            View::Double(number) => self.double(number),
            View::String(text) => self.element("<value><string>", text, "</string></value>"),
            View::DateTime(date) => self.date_time(date),
            View::Binary(bytes) => self.binary(bytes),
            View::Array(_) => self.put("<value><array><data>"),
            View::Struct(_) => self.put("<value><struct>"),
        }
    }

    fn nil(&mut self) -> Result<(), Fault> {
        match self.options.style.nil {
            NilStyle::Plain => self.put("<value><nil/></value>"),
            NilStyle::Ex => self.put("<value><ex:nil/></value>"),
            NilStyle::Refuse => Err(self.uncarried(format_args!(
                "nil, which is set to be refused (xmlrpc.nil, or the client's style)"
            ))),
        }
    }

    fn long(&mut self, number: i64) -> Result<(), Fault> {
        let digits = &mut itoa::Buffer::new();
        let digits = digits.format(number);
        match self.options.style.i8 {
            I8Style::Plain => self.put_all(["<value><i8>", digits, "</i8></value>"]),
            I8Style::Ex => self.put_all(["<value><ex:i8>", digits, "</ex:i8></value>"]),
        }
    }

    fn date_time(&mut self, date: DateTime) -> Result<(), Fault> {
        let date = match self.options.style.dates {
            Dates::Exact => date,
            Dates::Plain => plain(date).ok_or_else(|| {
                self.uncarried(format_args!(
                    "{date}, which is not in the years 0001 to 9999, in UTC if it has an offset \
                     (xmlrpc.dates, or the client's style)"
                ))
            })?,
        };
        match short_text(date).as_ref().map(|text| str::from_utf8(text)) {
            Some(Ok(text)) => {
                self.put_all(["<value><dateTime.iso8601>", text, "</dateTime.iso8601></value>"])
            }
            _ => self
                .scalar(format_args!("<value><dateTime.iso8601>{date}</dateTime.iso8601></value>")),
        }
    }

    fn double(&mut self, number: f64) -> Result<(), Fault> {
        if !number.is_finite() {
            return Err(self.uncarried(format_args!(
                "{number}, which XML-RPC cannot carry; send it as a string"
            )));
        }
        if let Some(text) = double::text(number, &mut zmij::Buffer::new()) {
            return self.put_all(["<value><double>", text, "</double></value>"]);
        }
        // Display writes no point in a whole number.
        let point = if number.fract() == 0.0 { ".0" } else { "" };
        self.scalar(format_args!("<value><double>{number}{point}</double></value>"))
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        /// What follows a document's only value, and more.
        const END_BYTES: usize = 128;
        self.put("<value><base64>")?;
        let encoded_len = binary::encoded_len(bytes.len());
        // With room for the end, large bytes do not have the document grow again behind them.
        let whole_len = encoded_len.saturating_add(END_BYTES);
        self.room(whole_len).or_else(|_| self.room(encoded_len))?;
        binary::encode(bytes, &mut self.bytes);
        self.put("</base64></value>")
    }

    /// Writes what is known to be short and free of special characters.
    fn scalar(&mut self, element: fmt::Arguments<'_>) -> Result<(), Fault> {
        // Writing to a Vec cannot fail.
        let _ = self.bytes.write_fmt(element);
        self.room(0)
    }

    /// Writes an element of text, between its tags.
    #[inline(always)]
    fn element(&mut self, start: &str, text: &str, end: &str) -> Result<(), Fault> {
        if special::find(text.as_bytes()).is_none() {
            return self.put_all([start, text, end]);
        }
        self.put(start)?;
        self.text(text)?;
        self.put(end)
    }

    /// Writes text with what XML would read otherwise escaped: a raw carriage return would come
    /// back as a line feed.
    #[inline(never)]
    fn text(&mut self, text: &str) -> Result<(), Fault> {
        let mut rest = text;
        while let Some(at) = special::find(rest.as_bytes()) {
            let (plain, special) = rest.split_at(at);
            let escaped = match special.as_bytes().first() {
                Some(b'<') => "&lt;",
                Some(b'>') => "&gt;",
                Some(b'&') => "&amp;",
                Some(b'\r') => "&#13;",
                _ => {
                    self.put(plain)?;
                    rest = self.unusual(special)?;
                    continue;
                }
            };
            self.put_all([plain, escaped])?;
            rest = special.get(1..).unwrap_or_default();
        }
        self.put(rest)
    }

    /// Writes the character that this text begins with, if XML can carry it, and returns what
    /// follows.
    fn unusual<'a>(&mut self, text: &'a str) -> Result<&'a str, Fault> {
        let mut chars = text.chars();
        match chars.next() {
            Some(c)
                if forbidden(c) && self.options.style.invalid_chars == InvalidChars::Replace =>
            {
                self.put("\u{FFFD}")?;
            }
            Some(c) if forbidden(c) => {
                let c = u32::from(c);
                return Err(self.uncarried(format_args!(
                    "U+{c:04X}, which XML cannot carry; send it as base64"
                )));
            }
            Some(c) => self.put(c.encode_utf8(&mut [0; 4]))?,
            None => {}
        }
        Ok(chars.as_str())
    }

    #[inline(always)]
    fn put(&mut self, text: &str) -> Result<(), Fault> {
        self.room(text.len())?;
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Writes all of these, or nothing. Tags become part of the code that writes them.
    #[inline(always)]
    fn put_all<const COUNT: usize>(&mut self, parts: [&str; COUNT]) -> Result<(), Fault> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.room(bytes)?;
        self.bytes.reserve(bytes);
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part.as_bytes()));
        Ok(())
    }

    /// Makes room for `bytes` more.
    #[inline]
    fn room(&mut self, bytes: usize) -> Result<(), Fault> {
        let wanted = self.bytes.len().saturating_add(bytes);
        if wanted <= self.granted { Ok(()) } else { self.grow(wanted) }
    }

    /// Makes room for `wanted` bytes in all. Grows by half at least.
    #[cold]
    fn grow(&mut self, wanted: usize) -> Result<(), Fault> {
        let max = self.options.bytes_max;
        if wanted > max {
            return Err(self.too_large());
        }
        let granted = wanted.max(self.granted + self.granted / 2).min(max);
        self.grant(granted).map_err(Stop::while_writing)?;
        Ok(())
    }

    /// Makes room for all of a document that is so far `given`, in parts of [`Walk::WHOLE`], if its
    /// items are alike and there is memory. A document that grows step by step is copied again and
    /// again.
    #[cold]
    fn forecast(&mut self, given: usize) {
        let len = self.bytes.len().saturating_mul(Walk::WHOLE) / given.max(1);
        let max = self.bytes.len().saturating_mul(FORECAST_GROWTH).min(self.options.bytes_max);
        let granted = (len + len / FORECAST_SPARE).min(max);
        // The next estimate comes before that is used up.
        self.forecast_at = (max / 2).max(self.bytes.len().saturating_mul(2));
        if granted > self.granted {
            // Without the memory, the document grows for as long as it can.
            let _ = self.grant(granted);
        }
    }

    fn grant(&mut self, granted: usize) -> Result<(), Stop> {
        self.resources.take(granted - self.granted)?;
        self.granted = granted;
        self.bytes.reserve_exact(granted.saturating_sub(self.bytes.len()));
        Ok(())
    }

    #[cold]
    fn too_large(&self) -> Fault {
        let Self { subject, options: EncodeOptions { bytes_max, .. }, .. } = self;
        Fault::new(
            code::RESPONSE_TOO_LARGE,
            format!("the {subject} is larger than {bytes_max} bytes"),
        )
    }

    #[cold]
    fn uncarried(&self, what: fmt::Arguments<'_>) -> Fault {
        Fault::new(code::APPLICATION, format!("the {} holds {what}", self.subject))
    }
}
