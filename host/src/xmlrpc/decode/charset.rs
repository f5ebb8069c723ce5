//! Encodings by their names, and the conversion of their bytes to UTF-8. Must not know how a
//! document says its encoding, nor XML.
//!
//! `encoding_rs` has the decoders and the names of the WHATWG's Encoding Standard, which is made
//! for web pages. Where that reads more into a name than IANA's registry does, the registry counts:
//! ISO 8859-1, -9 and -11 are no windows code pages, and a byte that a code page does not assign is
//! malformed. No byte becomes U+FFFD. GBK is the Encoding Standard's, in which 0x80 is the euro
//! sign.

use crate::xmlrpc::resources::{Meter, Stop};
use encoding_rs::{Decoder, DecoderResult, Encoding, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes between two checks of the deadline.
const UNCHECKED_BYTES_MAX: usize = 64 << 10;
/// Converted text is collected in pieces of this size.
const PIECE_BYTES: usize = 4 << 10;

/// An encoding that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charset {
    encoding: &'static Encoding,
    /// Whether bytes 0x80 to 0x9F are the control characters of these numbers, as ISO 8859 has it.
    has_iso_controls: bool,
}

impl Charset {
    pub(super) const UTF_8: Self = Self::of(UTF_8);
    pub(super) const UTF_16_LE: Self = Self::of(UTF_16LE);
    pub(super) const UTF_16_BE: Self = Self::of(UTF_16BE);
    const ISO_8859_1: Self = Self { encoding: encoding_rs::WINDOWS_1252, has_iso_controls: true };

    const fn of(encoding: &'static Encoding) -> Self {
        Self { encoding, has_iso_controls: false }
    }

    /// The encoding of this name: IANA's, the WHATWG's, or another that clients send. Python's
    /// write `koi8_r`, say.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        const NAMES: [(&str, Charset); 14] = [
            ("utf-8", Charset::UTF_8),
            ("utf-16le", Charset::UTF_16_LE),
            ("utf-16be", Charset::UTF_16_BE),
            // RPC::XML announces this and sends UTF-8, of which it is a part.
            ("us-ascii", Charset::UTF_8),
            ("ascii", Charset::UTF_8),
            ("ansi_x3.4-1968", Charset::UTF_8),
            ("latin-1", Charset::ISO_8859_1),
            ("latin-9", Charset::of(encoding_rs::ISO_8859_15)),
            ("latin9", Charset::of(encoding_rs::ISO_8859_15)),
            ("cp874", Charset::of(encoding_rs::WINDOWS_874)),
            ("cp932", Charset::of(SHIFT_JIS)),
            ("cp936", Charset::of(encoding_rs::GBK)),
            ("cp949", Charset::of(encoding_rs::EUC_KR)),
            ("cp950", Charset::of(encoding_rs::BIG5)),
        ];
        let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let found = known.map(|(_, charset)| *charset).or_else(|| Self::by_label(name));
        let hyphened = || name.contains('_').then(|| name.replace('_', "-"));
        found.or_else(|| Self::by_name(&hyphened()?))
    }

    /// The encoding of one of the WHATWG's labels. Its `replacement` stands for encodings that are
    /// never read, such as ISO-2022-KR, and its other names of UTF-16 do not say a byte order.
    fn by_label(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label_no_replacement(name.as_bytes())?;
        if [UTF_16LE, UTF_16BE, encoding_rs::X_USER_DEFINED].contains(&encoding) {
            return None;
        }
        // The label of a code page ends in its number, as "cp1252" does; that of ISO 8859 does not.
        let code_page = encoding.name().strip_prefix("windows-");
        let has_iso_controls = code_page.is_some_and(|number| !name.ends_with(number));
        Some(Self { encoding, has_iso_controls })
    }

    pub(super) fn is_utf_8(self) -> bool {
        self.encoding == UTF_8
    }

    pub(super) fn is_utf_16(self) -> bool {
        self.encoding == UTF_16LE || self.encoding == UTF_16BE
    }

    /// Whether these bytes are the same in UTF-8. PHP declares ISO-8859-1, and refers to what is
    /// not ASCII by number.
    pub(super) fn is_same_in_utf_8(self, bytes: &[u8]) -> bool {
        self.encoding.is_ascii_compatible() && bytes.is_ascii()
    }

    /// Converts to UTF-8. A first pass measures the text, because it could be several times as
    /// long as the bytes, and its memory is reserved at its exact size.
    ///
    /// # Errors
    /// The time or the memory is used up, or the encoding does not have these bytes.
    pub(super) fn to_utf_8(self, bytes: &[u8], meter: &Meter<'_>) -> Result<String, NotConverted> {
        let mut text_bytes = 0;
        self.convert(bytes, meter, |piece| text_bytes += piece.len())?;
        meter.take(text_bytes)?;
        let mut text = String::with_capacity(text_bytes);
        let is_whole = self.convert(bytes, meter, |piece| text.push_str(piece))?;
        if is_whole { Ok(text) } else { Err(NotConverted::Malformed { before: text }) }
    }

    /// Gives the text piece by piece, up to its end or to the first malformed byte. Returns whether
    /// it came to the end.
    fn convert(self, bytes: &[u8], meter: &Meter<'_>, add: impl FnMut(&str)) -> Result<bool, Stop> {
        let mut add = add;
        // It keeps what is open at a chunk's end: a lead byte, or the state of ISO-2022-JP.
        let mut decoder = self.encoding.new_decoder_without_bom_handling();
        let mut piece = String::with_capacity(PIECE_BYTES);
        let mut chunks = bytes.chunks(UNCHECKED_BYTES_MAX).peekable();
        while let Some(chunk) = chunks.next() {
            let is_last = chunks.peek().is_none();
            // An encoding of one byte leaves nothing open, and its decoder goes on after the run.
            let is_end = is_last && !self.has_iso_controls;
            for run in chunk.chunk_by(|a, b| self.is_iso_control(*a) == self.is_iso_control(*b)) {
                if run.first().is_some_and(|&byte| self.is_iso_control(byte)) {
                    run.iter().for_each(|&byte| add(char::from(byte).encode_utf8(&mut [0; 2])));
                } else if !self.convert_run(&mut decoder, run, is_end, &mut piece, &mut add) {
                    return Ok(false);
                }
            }
            if !is_last {
                meter.check()?;
            }
        }
        Ok(true)
    }

    fn convert_run(
        self,
        decoder: &mut Decoder,
        mut run: &[u8],
        is_end: bool,
        piece: &mut String,
        add: &mut impl FnMut(&str),
    ) -> bool {
        loop {
            piece.clear();
            let (result, read) = decoder.decode_to_string_without_replacement(run, piece, is_end);
            if let Some(at) = self.unassigned_in(piece) {
                add(piece.get(..at).unwrap_or_default());
                return false;
            }
            add(piece);
            match result {
                DecoderResult::InputEmpty => return true,
                DecoderResult::OutputFull => run = run.get(read..).unwrap_or_default(),
                DecoderResult::Malformed(..) => return false,
            }
        }
    }

    const fn is_iso_control(self, byte: u8) -> bool {
        self.has_iso_controls && matches!(byte, 0x80..=0x9F)
    }

    /// Where the text has a control character that the WHATWG makes of an unassigned byte.
    fn unassigned_in(self, text: &str) -> Option<usize> {
        let has_gaps = self.encoding == SHIFT_JIS || self.encoding.name().starts_with("windows-");
        if has_gaps { text.find(|c| ('\u{80}'..='\u{9f}').contains(&c)) } else { None }
    }
}

/// Why bytes are not converted.
#[derive(Debug)]
pub(super) enum NotConverted {
    Stopped(Stop),
    /// The encoding does not have what follows this text.
    Malformed {
        before: String,
    },
}

impl From<Stop> for NotConverted {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::resources::{Counted, Unlimited};

    fn read(name: &str, bytes: &[u8]) -> Result<String, String> {
        let charset = Charset::by_name(name).ok_or("not read")?;
        charset.to_utf_8(bytes, &Meter::new(&Unlimited)).map_err(|error| match error {
            NotConverted::Stopped(stop) => format!("{stop:?}"),
            NotConverted::Malformed { before } => format!("malformed after {before:?}"),
        })
    }

    #[test]
    fn names_are_those_of_iana() {
        for (name, bytes, expected) in [
            ("ISO-8859-1", b"\x80\x85\xE9".as_slice(), "\u{80}\u{85}é"),
            ("iso_8859-1:1987", b"\x80", "\u{80}"),
            ("l1", b"\x80", "\u{80}"),
            ("CP819", b"\x80", "\u{80}"),
            ("windows-1252", b"\x80", "€"),
            ("x-cp1252", b"\x80", "€"),
            ("ISO-8859-9", b"\x80\xFD", "\u{80}ı"),
            ("latin5", b"\xFD\x80\xFD\x80a", "ı\u{80}ı\u{80}a"),
            ("windows-1254", b"\x80\xFD", "€ı"),
            ("cp1254", b"\x80", "€"),
            ("iso-8859-11", b"\x80\xA1", "\u{80}ก"),
            ("TIS-620", b"\x80\xA1", "\u{80}ก"),
            ("windows-874", b"\x80\xA1", "€ก"),
            ("ISO-8859-2", b"\x80\xB1", "\u{80}ą"),
            ("Latin-9", b"\xA4", "€"),
            ("windows-1251", b"\xC6", "Ж"),
            ("KOI8-R", b"\xF6", "Ж"),
            ("koi8-u", b"\xA4", "є"),
            ("IBM866", b"\x86", "Ж"),
            ("Shift_JIS", b"\x93\xFA\x96\x7B\xB1", "日本ｱ"),
            ("Windows-31J", b"\x93\xFA", "日"),
            ("EUC-JP", b"\xC6\xFC\xCB\xDC", "日本"),
            ("ISO-2022-JP", b"a\x1B$BF|K\\\x1B(Bb", "a日本b"),
            ("GBK", b"\xD6\xD0\xCE\xC4", "中文"),
            ("CP936", b"\xD6\xD0", "中"),
            ("euc_jp", b"\xC6\xFC", "日"),
            ("iso8859_1", b"\x80", "\u{80}"),
            ("latin_1", b"\x80", "\u{80}"),
            ("iso8859_5", b"\xB6", "Ж"),
            ("GB2312", b"\xD6\xD0", "中"),
            ("GB18030", b"\x94\x39\xFC\x36", "😀"),
            ("Big5", b"\xA4\xA4\xA4\xE5", "中文"),
            ("EUC-KR", b"\xC7\xD1", "한"),
            ("UTF-16LE", b"=\xD8\0\xDE", "😀"),
        ] {
            assert_eq!(read(name, bytes).as_deref(), Ok(expected), "{name}");
        }
        for name in [
            "UTF-7",
            "UTF-32",
            "ISO-2022-KR",
            "ISO-2022-CN",
            "HZ-GB-2312",
            "replacement",
            "x-user-defined",
            "ISO-10646-UCS-2",
            "unicode",
            "EBCDIC-CP-US",
            "martian",
            "",
        ] {
            assert_eq!(Charset::by_name(name), None, "{name}");
        }
    }

    #[test]
    fn malformed_bytes_are_not_replaced() {
        for (name, bytes) in [
            ("windows-1252", b"a\x81b".as_slice()),
            ("windows-1250", b"a\x81b"),
            ("windows-874", b"a\x81b"),
            ("windows-1255", b"a\xDDb"),
            ("iso-8859-3", b"a\xA5b"),
            ("iso-8859-11", b"a\xDBb"),
            ("Shift_JIS", b"a\x80b"),
            ("Shift_JIS", b"a\x93<b"),
            ("Shift_JIS", b"a\x93"),
            ("EUC-JP", b"a\xC6<b"),
            ("EUC-JP", b"a\x8F\xA2"),
            ("ISO-2022-JP", b"a\x1B$X"),
            ("ISO-2022-JP", b"a\xE9"),
            ("ISO-2022-JP", b"a\x0Eb"),
            ("ISO-2022-JP", b"a\x1B$B\x1B(Bb"),
            ("GBK", b"a\xD6<b"),
            ("GB18030", b"a\x81\x30\x81"),
            ("Big5", b"a\xA4<b"),
            ("EUC-KR", b"a\xC7<b"),
            ("UTF-16LE", b"a\0\0\xD8b\0"),
            ("UTF-16BE", b"\0a\0"),
        ] {
            assert_eq!(read(name, bytes), Err("malformed after \"a\"".into()), "{name} {bytes:?}");
        }
    }

    /// A chunk may end within a character, and within a run of them that an escape began.
    #[test]
    fn chunks_end_anywhere() {
        for (name, blank, one) in [
            ("Shift_JIS", b" ".as_slice(), b"\x93\xFA".as_slice()),
            ("EUC-JP", b" ", b"\x8F\xB0\xA1"),
            ("GB18030", b" ", b"\x94\x39\xFC\x36"),
            ("Big5", b" ", b"\x88\x62"),
            ("EUC-KR", b" ", b"\xC7\xD1"),
            ("ISO-2022-JP", b" ", b"\x1B$BF|\x1B(B-"),
            ("ISO-2022-JP", b"\x1B$B!!", b"F|"),
            ("UTF-16BE", b"\0 ", b"\xD8=\xDE\0"),
            ("ISO-8859-9", b" ", b"\x80\xFD"),
            ("KOI8-R", b" ", b"\xF6"),
        ] {
            let many = 2 * UNCHECKED_BYTES_MAX / one.len();
            for blanks in 1..=one.len() {
                let before = blank.repeat(blanks);
                let whole = [before.clone(), one.to_vec()].concat();
                let before_text = read(name, &before).unwrap();
                let text = read(name, &whole).unwrap();
                let expected = text.strip_prefix(&before_text).unwrap().repeat(many);
                let text = read(name, &[before, one.repeat(many)].concat()).unwrap();
                assert!(text.strip_prefix(&before_text) == Some(&expected), "{name} {blanks}");
            }
        }
    }

    #[test]
    fn the_text_takes_its_exact_memory_before_it_is_collected() {
        for (name, one, bytes_each) in [
            ("windows-1252", b"\x80".as_slice(), 3),
            ("ISO-8859-1", b"\x80", 2),
            ("Big5", b"\x88\x62", 4),
            ("GB18030", b"\x94\x39\xFC\x36", 4),
            ("UTF-16LE", b"\xAC\x20", 3),
        ] {
            let bytes = one.repeat(100_000);
            let (charset, exact) = (Charset::by_name(name).unwrap(), 100_000 * bytes_each);
            let counted = Counted::new(usize::MAX);
            let text = charset.to_utf_8(&bytes, &Meter::new(&counted)).unwrap();
            assert_eq!((text.len(), text.capacity(), counted.peak()), (exact, exact, exact));
            let less = Counted::new(exact - 1);
            let refused = charset.to_utf_8(&bytes, &Meter::new(&less));
            assert!(matches!(refused, Err(NotConverted::Stopped(Stop::Crowded))), "{name}");
        }
    }
}
