//! Documents close to the fast decoder's subset: clients' documents, with an occasional mistake or
//! something unusual but right.

use super::mutate::Random;

/// Nested deeper than this there are only scalars.
const DEPTH_MAX: usize = 3;
/// One in so many pieces is not what clients send.
const ODD_EVERY: usize = 60;

const PROLOGS: &[&str] = &[
    "",
    "<?xml version='1.0'?>",
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
    "<?xml version=\"1.0\" ?>",
    "<?xml version=\"1.0\" encoding=\"us-ascii\" standalone='yes'?>\r\n",
    "<?xml version='1.0' encoding='ISO-8859-1'?>\n",
    "\u{FEFF}<?xml version='1.0' encoding='utf-8'?>",
];

const ODD_PROLOGS: &[&str] = &[
    "<?xml version='1.1'?>",
    "<?XML VERSION='1.0'?>",
    "<?xml?>",
    "<?xml version = '1.0'?>",
    "<?xml version='1.0'encoding='utf-8'?>",
    "<?xml version='1.0' encoding='utf-8\"?>",
    "<?xml version='1.0' encoding='utf-16'?>",
    "<?xml version='1.0' encoding=' utf-8'?>",
    "<?xml version='1.0' encoding='utf-8' encoding='utf-8'?>",
    "<?xml version='1.0' standalone='yes' encoding='utf-8'?>",
    "<?xml version='1.0' standalone='maybe'?>",
    "<?xml version='1.0'?",
    "<?xmlx version='1.0'?>",
    "<!DOCTYPE methodCall>",
    "<!-- -->",
    "<?pi?>",
    "x",
];

const SPACES: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\n   ",
    "         \n         ",
];

const ODD_SPACES: &[&str] = &[
    "<!-- c -->",
    "<?p?>",
    "&#10;",
    "&#32;",
    "x",
    "\u{A0}",
    "\u{C}",
    "\0",
    "<![CDATA[ ]]>",
    "]]>",
    "<",
    "</",
    "\u{FEFF}",
];

const INTS: &[&str] = &[
    "0",
    "5",
    "-5",
    "-0",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "999999999999999999",
    "9223372036854775807",
    "-9223372036854775808",
    " 7 ",
    "\n7\r\n",
    "+7",
    "007",
    "0000000000000000000000012",
];

const ODD_INTS: &[&str] = &[
    "",
    "-",
    "+",
    "--1",
    "9223372036854775808",
    "1_0",
    "0x1",
    "1.0",
    "\u{663}",
    "1 2",
    "&#49;",
    "1<i/>",
    "&#9;1",
];

const DOUBLES: &[&str] = &[
    "0",
    "-0.0",
    "1.5",
    "-1e-7",
    "3E7",
    " .5 ",
    "5.",
    "NaN",
    "-nan",
    "+inf",
    "Infinity",
    "1e308",
    "0.1000000000000000055511151231257827",
    "+1.25",
];

const ODD_DOUBLES: &[&str] = &["", ".", "1e999", "1,5", "0x1p3", "1e", "in", "1 5", "\u{221E}"];

const DATES: &[&str] = &["19980717T14:08:55", "1998-07-17T14:08:55.25Z", " 20240229T235960+0130\n"];

const ODD_DATES: &[&str] = &["", "now", "20230229T00:00:00", "19980717T14:08:55+"];

const BASE64: &[&str] = &["", "AAEC", "AAE=", "AAE", "\nAAEC\r\n/w==\n", "AAEC&#10;", "AA EC"];

const ODD_BASE64: &[&str] = &["A", "A*", "AAE==", "=", "AA\u{E9}="];

const BOOLEANS: &[&str] = &["0", "1", "true", "FALSE", " 1 "];

const ODD_BOOLEANS: &[&str] = &["", "2", "yes", "01"];

const TEXTS: &[&str] = &[
    "",
    "a",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\r\r\n",
    "&lt;",
    "&gt;",
    "&amp;",
    "&quot;",
    "&apos;",
    "&#13;",
    "&#xD;",
    "&#10;",
    "&#x10FFFF;",
    "&#60;",
    "&#x3C;",
    "&#0000000065;",
    ">",
    "]]",
    "]",
    ";",
    "=",
    "/",
    "'",
    "\"",
    "?>",
    "-->",
    "\u{7F}",
    "\u{85}",
    "\u{E9}",
    "\u{FEFF}",
    "\u{FFFD}",
    "\u{FFC0}",
    "\u{EFFF}",
    "\u{1F600}",
    "\u{2028}",
    "longer than it may be",
];

const ODD_TEXTS: &[&str] = &[
    "]]>",
    "&",
    "&;",
    "&#;",
    "&#x;",
    "&#0;",
    "&#1;",
    "&#xFFFE;",
    "&#xD800;",
    "&#x110000;",
    "&#+65;",
    "&#x+41;",
    "&#X41;",
    "&#65",
    "&#99999999999999999999;",
    "&lt",
    "&LT;",
    "&nbsp;",
    "&#6 5;",
    "\0",
    "\u{1F}",
    "\u{FFFE}",
    "\u{FFFF}",
    "<![CDATA[<&>]]>",
    "<![CDATA[a]]",
    "<!-- c -->",
    "<b/>",
    "&#00000000000000000065;",
];

impl Random {
    /// A call or a response.
    pub(super) fn document(&mut self) -> String {
        let prolog = if self.is_odd() { self.one_of(ODD_PROLOGS) } else { self.one_of(PROLOGS) };
        let start = self.space();
        let root = match self.below(4) {
            0 => self.response(),
            _ => self.call(),
        };
        let end = if self.is_odd() {
            self.one_of(&["x", "<a/>", "<!-- -->", "\0"]).to_owned()
        } else {
            self.space()
        };
        let before = if self.below(8) == 0 { self.one_of(&["\n", " ", "\r\n"]) } else { "" };
        [before, prolog, &start, &root, &end].concat()
    }

    fn call(&mut self) -> String {
        let name = self.element("methodName", |random| {
            let name = random.one_of(&[
                "m",
                "m.n",
                " m\n",
                "a_method",
                "&lt;",
                "\u{E9}",
                "longer_than_may",
            ]);
            if random.is_odd() { random.characters() } else { name.to_owned() }
        });
        let params = self.params();
        match self.below(ODD_EVERY) {
            0 => self.root("methodCall", &[params, name]),
            1 => self.root("methodCall", &[params]),
            2 => self.root("methodCall", &[name.clone(), params, name]),
            3..9 => self.root("methodCall", &[name]),
            _ => self.root("methodCall", &[name, params]),
        }
    }

    fn response(&mut self) -> String {
        let inside = match self.below(4) {
            0 => {
                let code = self.below(30);
                let members = match code {
                    0 => String::new(),
                    1 => self.member("faultString"),
                    _ => self.fault_code() + &self.member("faultString"),
                };
                let fault = self.element("struct", |_| members);
                let fault = self.element("value", |_| fault);
                self.element("fault", |_| fault)
            }
            _ => self.params(),
        };
        self.root("methodResponse", &[inside])
    }

    fn fault_code(&mut self) -> String {
        let kind = ["int", "i4", "i8", "string"][self.below(4)];
        let number = self.one_of(INTS);
        format!("<member><name>faultCode</name><value><{kind}>{number}</{kind}></value></member>")
    }

    fn root(&mut self, name: &str, inside: &[String]) -> String {
        let inside: String = inside.iter().map(|part| self.space() + part).collect();
        let end = self.space();
        let declaration = match self.below(12) {
            0 => " xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\"",
            1 => " xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'",
            2 if self.is_odd() => " xmlns:ex='urn:x'",
            3 if self.is_odd() => " ",
            _ => "",
        };
        format!("<{name}{declaration}>{inside}{end}</{name}>")
    }

    fn params(&mut self) -> String {
        let count = self.one_of(&[0, 0, 1, 1, 1, 2, 3]);
        if count == 0 && self.below(2) == 0 {
            return "<params/>".to_owned();
        }
        self.element("params", |random| {
            let param = |random: &mut Self| {
                let value = random.value(0);
                random.element("param", |_| value)
            };
            (0..count).map(|_| param(random)).collect()
        })
    }

    fn value(&mut self, depth: usize) -> String {
        let kinds = if depth == DEPTH_MAX { 13 } else { 18 };
        let inside = match self.below(kinds) {
            0 => self.scalar(&["int", "i4"], INTS, ODD_INTS),
            1 => self.scalar(&["i8", "ex:i8"], INTS, ODD_INTS),
            2 => self.scalar(&["double"], DOUBLES, ODD_DOUBLES),
            3 => self.scalar(&["boolean"], BOOLEANS, ODD_BOOLEANS),
            4 => self.scalar(&["dateTime.iso8601"], DATES, ODD_DATES),
            5 => self.scalar(&["base64"], BASE64, ODD_BASE64),
            6 => self
                .one_of(&["<nil/>", "<ex:nil/>", "<nil></nil>", "<string/>", "<base64/>"])
                .to_owned(),
            7 if self.is_odd() => self
                .one_of(&["<i1>5</i1>", "<ex:float>1</ex:float>", "<int/>", "<x/>", "<nil> </nil>"])
                .to_owned(),
            8 => return "<value/>".to_owned(),
            9 => return format!("<value>{}</value>", self.characters()),
            10 => format!("<string><![CDATA[{}]]></string>", self.characters()),
            7 | 11..13 => format!("<string>{}</string>", self.characters()),
            13..16 => self.array(depth),
            _ => self.structure(depth),
        };
        self.element("value", |_| inside)
    }

    fn scalar(&mut self, types: &[&str], texts: &[&str], odd_texts: &[&str]) -> String {
        let (name, text) = (
            self.one_of(types),
            if self.is_odd() { self.one_of(odd_texts) } else { self.one_of(texts) },
        );
        format!("<{name}>{text}</{name}>")
    }

    fn array(&mut self, depth: usize) -> String {
        let count = self.below(5);
        if count == 0 {
            return self
                .one_of(&[
                    "<array/>",
                    "<array><data/></array>",
                    "<array><data></data></array>",
                    "<array></array>",
                ])
                .to_owned();
        }
        let data = self.element("data", |random| {
            (0..count).map(|_| random.value(depth + 1) + &random.space()).collect()
        });
        self.element("array", |_| data)
    }

    fn structure(&mut self, depth: usize) -> String {
        let count = self.one_of(&[0, 1, 2, 3, 12]);
        if count == 0 {
            return self.one_of(&["<struct/>", "<struct></struct>"]).to_owned();
        }
        self.element("struct", |random| {
            let member = |random: &mut Self| {
                let name = match random.below(6) {
                    0 => "<name/>".to_owned(),
                    1 => format!("<name>{}</name>", random.characters()),
                    _ => {
                        format!(
                            "<name>{}</name>",
                            ["a", "b", "c", "name", "a b", "longer"][random.below(6)]
                        )
                    }
                };
                let (space, value) = (random.space(), random.value(depth + 1));
                let parts =
                    if random.is_odd() { [value, space, name] } else { [name, space, value] };
                random.element("member", |_| parts.concat())
            };
            (0..count).map(|_| member(random)).collect()
        })
    }

    fn member(&mut self, name: &str) -> String {
        let value = self.value(2);
        format!("<member><name>{name}</name>{value}</member>")
    }

    /// White space round what is inside, which is no text.
    fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self) -> String) -> String {
        let (before, inside, after) = (self.space(), inside(self), self.space());
        let (before, after) =
            if name == "methodName" { ("", "") } else { (before.as_str(), after.as_str()) };
        let odd = if self.is_odd() { self.below(8) } else { 8 };
        match odd {
            0 => format!("<{name} >{before}{inside}{after}</{name}>"),
            1 => format!("<{name}>{before}{inside}{after}</{name}\n>"),
            2 => format!("<{name} a='1'>{before}{inside}{after}</{name}>"),
            3 => format!("<{name}>{before}{inside}{after}"),
            4 => format!("<{name}>{before}{inside}{after}</{name}></{name}>"),
            5 => format!("<{name}>{before}{inside}{after}</value>"),
            6 => format!("<{name}/>"),
            _ => format!("<{name}>{before}{inside}{after}</{name}>"),
        }
    }

    fn space(&mut self) -> String {
        if self.is_odd() { self.one_of(ODD_SPACES) } else { self.one_of(SPACES) }.to_owned()
    }

    fn characters(&mut self) -> String {
        let piece = |random: &mut Self| {
            if random.is_odd() { random.one_of(ODD_TEXTS) } else { random.one_of(TEXTS) }
        };
        (0..self.below(5)).map(|_| piece(self)).collect()
    }

    fn is_odd(&mut self) -> bool {
        self.below(ODD_EVERY) == 0
    }
}

/// A grammar whose documents are all refused, or all taken, would prove little.
#[test]
fn some_of_the_documents_are_taken_and_some_are_not() {
    use crate::xmlrpc::{DecodeLimits, call_both_ways};
    let (mut taken, mut left, mut refused) = (0, 0, 0);
    for seed in 0..1_000 {
        let document = Random(seed).document();
        match call_both_ways(document.as_bytes().into(), &DecodeLimits::default()) {
            (Some(_), _) => taken += 1,
            (None, Ok(_)) => left += 1,
            (None, Err(_)) => refused += 1,
        }
    }
    assert!(
        taken > 200 && left > 50 && refused > 100,
        "{taken} taken, {left} left, {refused} refused"
    );
}
