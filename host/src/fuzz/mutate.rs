//! The input of the smoke run besides the corpora: mutated files of a corpus, and documents that a
//! target's grammar generates.
//!
//! Half of the mutations know that texts are made of words, numbers and signs. They move, repeat
//! or drop whole words, or replace a number by one of its edges. Opened elements stay closed more
//! often than among random bytes.
#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to size")]

use std::ops::Range;

const MUTATIONS_MAX: usize = 5;
/// What grows past this is cut: the smoke run is short.
const BYTES_MAX: usize = 8_192;

const XML: &[&str] = &[
    "]]>",
    "<![CDATA[",
    "<!--",
    "-->",
    "<?",
    "?>",
    "<!DOCTYPE a [",
    "\0",
    "\u{FEFF}",
    "<value>",
    "</value>",
    "<value/>",
    "<value><array><data>",
    "</data></array></value>",
    "<value><struct><member><name>a</name><value>1</value></member></struct></value>",
    "<member><name>b</name><value><i8>-9223372036854775808</i8></value></member>",
    "<value><double>-0.0</double></value>",
    "<value><base64>AP8=</base64></value>",
    "<value><dateTime.iso8601>20240229T24:00:00.5-01:30</dateTime.iso8601></value>",
    "xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'",
    "<ex:nil/>",
    "<nil/>",
    "&#x10FFFF;",
    "&#0;",
    "&lt;",
    "&amp;",
    "&quot;",
    "&apos;",
    "encoding='utf-16'",
    "encoding='latin1'",
    "encoding='GB18030'",
    "encoding='ISO-2022-JP'",
    "\u{E9}",
    "\r\n",
];

const HTTP: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    ":",
    ";",
    ",",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "3\r\nabc\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Content-Length: 1\r\n",
    "Content-Length: 200\r\n",
    "Content-Length: 201\r\n",
    "Host: h\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Content-Type: a\r\n",
    "Authorization: Basic YTpi\r\n",
    "HTTP/1.1",
    "HTTP/1.0",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
];

const TEXTS: &[&str] = &[
    "",
    "a",
    "<",
    ">",
    "&",
    "\"",
    "'",
    "\r",
    "\n",
    "\r\n",
    "\t",
    " ",
    "]]>",
    "&lt;",
    "&amp;",
    "&#13;",
    "\0",
    "\u{1F}",
    "\u{7F}",
    "\u{85}",
    "\u{E9}",
    "\u{FEFF}",
    "\u{FFFD}",
    "\u{FFFE}",
    "\u{FFFF}",
    "\u{EFFF}",
    "\u{10FFFF}",
    "\u{1F600}",
    "faultCode",
];

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 31,
    -(1 << 31) - 1,
    1 << 32,
    (1 << 53) + 1,
    i64::MAX,
    i64::MIN,
];

const DOUBLES: &[&str] = &[
    "0.0",
    "-0.0",
    "1.0",
    "0.1",
    "1e15",
    "1e16",
    "1e21",
    "123456789.12345679",
    "9007199254740993",
    "5e-324",
    "1.7976931348623157e308",
    "2.225073858507201e-308",
    "-1e-7",
    "NaN",
    "inf",
    "-inf",
];

const DATES: &[&str] = &[
    "@0,1,1,0,0,0",
    "@9999,12,31,24,0,0",
    "@1998,7,17,14,8,55,250000000,-120",
    "@2024,2,29,23,59,60,999999999,1439",
    "@2023,12,31,24,0,0,0,0",
    "@0,1,1,0,0,0,0,1",
    "@9999,12,31,23,59,0,0,-1",
    "@2024,3,1,0,30,0,1,60",
];

/// SplitMix64: seeded, so that a failure is a failure again.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// What a target is given: a file of its corpus that was changed, or, where there is a grammar,
    /// what that makes.
    pub(super) fn input(&mut self, target: &str, corpus: &[Vec<u8>]) -> Vec<u8> {
        let made = match (target, self.below(2)) {
            ("encode_decode", 0) => Some(self.notation(4)),
            ("abi", 0) => Some(self.notation(4) + &self.mistakes()),
            ("framing", 0) => Some(self.requests()),
            ("decode_differential", 0) => Some(self.document()),
            _ => None,
        };
        match made {
            Some(made) => made.into_bytes(),
            None => self.mutation(target, corpus),
        }
    }

    fn mutation(&mut self, target: &str, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(MUTATIONS_MAX) {
            match self.below(2) {
                0 => self.change_words(&mut bytes, target, corpus),
                _ => self.change_bytes(&mut bytes),
            }
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change_words(&mut self, bytes: &mut Vec<u8>, target: &str, corpus: &[Vec<u8>]) {
        let words = words(bytes);
        let (one, other) = (self.pick(&words), self.pick(&words));
        match self.below(6) {
            0 => drop(bytes.drain(one)),
            1 => {
                let word = bytes[one].to_vec();
                drop(bytes.splice(other.start..other.start, word));
            }
            2 => {
                let word = bytes[one].to_vec();
                drop(bytes.splice(other, word));
            }
            3 => {
                let numbers: Vec<_> =
                    words.into_iter().filter(|word| bytes[word.start].is_ascii_digit()).collect();
                let number = self.pick(&numbers);
                let text = String::from_utf8_lossy(&bytes[number.clone()]).into_owned();
                let near = text.parse::<i64>().unwrap_or(0).wrapping_add(self.below(3) as i64 - 1);
                let changed = if self.below(2) == 0 { near } else { self.number() };
                drop(bytes.splice(number, changed.to_string().into_bytes()));
            }
            4 => {
                let piece = self.piece(target);
                drop(bytes.splice(one.start..one.start, piece.into_bytes()));
            }
            _ => {
                let from = &corpus[self.below(corpus.len())];
                let start = self.below(from.len());
                let part = &from[start..(start + self.below(200)).min(from.len())];
                drop(bytes.splice(one.start..one.start, part.iter().copied()));
            }
        }
    }

    fn change_bytes(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let end = (at + self.below(40)).min(bytes.len());
        match self.below(5) {
            0 => bytes.truncate(at.max(1)),
            1 if !bytes.is_empty() => bytes[at] = self.next() as u8,
            2 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            3 => drop(bytes.drain(at..end)),
            _ => {
                let part = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                drop(bytes.splice(to..to, part));
            }
        }
    }

    fn piece(&mut self, target: &str) -> String {
        match target {
            "abi" if self.below(2) == 0 => self.mistakes(),
            "abi" | "encode_decode" => self.notation(2),
            "framing" | "http_head" => self.one_of(HTTP).to_owned(),
            _ => self.one_of(XML).to_owned(),
        }
    }

    /// A value in the notation of `xmlrpc::fuzz::notation`.
    fn notation(&mut self, depth: usize) -> String {
        let kinds = if depth == 0 { 8 } else { 10 };
        match self.below(kinds) {
            0 => "n".to_owned(),
            1 => ["t", "f"][self.below(2)].to_owned(),
            2 => format!("i{} ", self.number() as i32),
            3 => format!("l{} ", self.number()),
            4 => match self.below(3) {
                0 => format!("dx{:x} ", self.next()),
                _ => format!("d{} ", self.one_of(DOUBLES)),
            },
            5 => format!("s{}`", self.text()),
            6 => format!(
                "b{}`",
                "\u{E9}\0\u{FFFF}a".repeat(self.below(4)) + &"x".repeat(self.below(4))
            ),
            7 => match self.below(2) {
                0 => format!("{} ", self.one_of(DATES)),
                _ => format!("@{},{},{} ", self.below(10_000), self.below(13), self.below(32)),
            },
            8 => format!(
                "[{}]",
                (0..self.below(6)).map(|_| self.notation(depth - 1)).collect::<String>()
            ),
            _ => {
                let mut members = String::new();
                for _ in 0..self.below(6) {
                    let name = if self.below(3) == 0 {
                        self.text()
                    } else {
                        ["a", "b", "c", "d"][self.below(4)].into()
                    };
                    members += &format!("{name}`{}", self.notation(depth - 1));
                }
                format!("{{{members}}}")
            }
        }
    }

    fn text(&mut self) -> String {
        (0..self.below(5)).map(|_| self.one_of(TEXTS)).collect()
    }

    /// Mistakes in the notation of `plugin::fuzz`, or none.
    fn mistakes(&mut self) -> String {
        let mistake = |random: &mut Self| {
            let kind = char::from(random.one_of(b"tduUphPHmzZeE"));
            format!(" {kind}{}.{}", random.below(6), random.below(24))
        };
        let mistakes: String = (0..self.below(4)).map(|_| mistake(self)).collect();
        format!("!{mistakes}")
    }

    /// Requests one after the other, now and then with something wrong in them.
    fn requests(&mut self) -> String {
        (0..=self.below(3)).map(|_| self.request()).collect()
    }

    fn request(&mut self) -> String {
        let method = ["POST", "POST", "POST", "GET", "PUT"][self.below(5)];
        let mut head = format!("{method} / HTTP/1.1\r\nHost: h\r\n");
        if self.below(3) == 0 {
            head +=
                ["Expect: 100-continue\r\n", "Connection: close\r\n", "Expect:\r\n"][self.below(3)];
        }
        // Near the limits of the target, and of one of its reads.
        let size = [0, 1, 3, 50, 199, 200, 201][self.below(7)];
        if self.below(8) == 0 {
            let bytes = [500, 537, 538, 539, 600, 700][self.below(6)];
            head += &format!("X: {}\r\n", "x".repeat(bytes));
        }
        match self.below(9) {
            0..=3 => head + &format!("Content-Length: {size}\r\n\r\n{}", self.body(size)),
            8 => head + "\r\n",
            _ => head + "Transfer-Encoding: chunked\r\n\r\n" + &self.chunks(size),
        }
    }

    fn chunks(&mut self, size: usize) -> String {
        let (mut chunks, mut left) = (String::new(), size);
        while left > 0 {
            let size = (self.below(left) + 1).max(left / 4);
            left -= size;
            let shown = if self.below(15) == 0 { size + self.below(3) } else { size };
            let extension = ["", "", "", " ", ";a=b", "; a=\"b\"", " ;\t", "\n", ";\r", "x", ";\0"]
                [self.below_mostly(11)];
            let end =
                ["\r\n", "\r\n", "\r\n", "\r\n", "\n", "", "\rx", "\r\n\r\n"][self.below_mostly(8)];
            let shown =
                if self.below(2) == 0 { format!("{shown:x}") } else { format!("{shown:03X}") };
            chunks += &format!("{shown}{extension}\r\n{}{end}", self.body(size));
        }
        let trailer = [
            "",
            "",
            "",
            "A: b\r\n",
            "A:\r\nB: c\r\n",
            "a field\r\n",
            ": b\r\n",
            " A: b\r\n",
            "A : b\r\n",
            "A: b\n",
            "A: \0\r\n",
            "\n",
            "A: b\rc\r\n",
        ][self.below_mostly(13)];
        chunks + "0\r\n" + trailer + "\r\n"
    }

    fn body(&mut self, size: usize) -> String {
        let part = ["x", "\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"][self.below(4)];
        part.chars().cycle().take(size).collect()
    }

    fn number(&mut self) -> i64 {
        match self.below(4) {
            0 => self.next() as i64,
            1 => self.below(1_000) as i64,
            _ => self.one_of(NUMBERS),
        }
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn pick(&mut self, words: &[Range<usize>]) -> Range<usize> {
        words.get(self.below(words.len())).cloned().unwrap_or(0..0)
    }

    /// The first third nine times of ten.
    pub(super) fn below_mostly(&mut self, end: usize) -> usize {
        if self.below(10) > 0 { self.below(end / 3) } else { self.below(end) }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Where words are, numbers, tags and lines; what is none of them is a word for each byte.
fn words(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = 0;
    while let Some(&first) = bytes.get(start) {
        let rest = &bytes[start..];
        let run = |part: fn(&u8) -> bool| rest.iter().take_while(|byte| part(byte)).count();
        let length = match first {
            b'<' => rest.iter().position(|byte| *byte == b'>').map_or(1, |end| end + 1),
            b'0'..=b'9' => run(u8::is_ascii_digit),
            _ if first.is_ascii_alphabetic() => run(u8::is_ascii_alphabetic),
            _ => 1,
        };
        words.push(start..start + length);
        start += length;
    }
    // Whole lines too, so that some changes are of one.
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        words.push(start..start + line.len());
        start += line.len();
    }
    words
}
