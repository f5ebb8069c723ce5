//! Certificates that a careless authority signs, and the names that they get here.

use super::super::trials::Made;
use super::*;
use openssl::x509::X509Name;

const UTF8: u8 = 12;
const NUMERIC: u8 = 18;
const PRINTABLE: u8 = 19;
const TELETEX: u8 = 20;
const IA5: u8 = 22;
const VISIBLE: u8 = 26;
const UNIVERSAL: u8 = 28;
const BMP: u8 = 30;
const OTHER_NAME: u8 = 0xa0;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const CONSTRUCTED_DNS: u8 = 0xa2;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;
const ORGANISATIONAL_UNIT: &[u8] = &[0x55, 4, 11];

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = match length {
        [0, byte @ ..=0x7f] => vec![tag, byte],
        [0, byte] => vec![tag, 0x81, byte],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn attribute(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
    sequence(&[tlv(6, kind), tlv(tag, text)])
}

fn cn(tag: u8, text: impl AsRef<[u8]>) -> Vec<u8> {
    attribute(COMMON_NAME, tag, text.as_ref())
}

/// A certificate whose subject has these sets of attributes, one after the other.
fn of(sets: &[&[Vec<u8>]]) -> Made {
    let sets: Vec<_> = sets.iter().map(|attributes| tlv(0x31, &attributes.concat())).collect();
    Made::nameless().subject(sequence(&sets))
}

/// A certificate whose subject is this common name alone.
fn only(tag: u8, text: impl AsRef<[u8]>) -> Made {
    of(&[&[cn(tag, text)]])
}

/// A certificate with these alternative names.
fn named(names: &[(u8, &[u8])]) -> Made {
    let names: Vec<_> = names.iter().map(|(tag, text)| tlv(*tag, text)).collect();
    Made::new("someone else").alternatives(sequence(&names))
}

/// Checks each certificate's name, or a part of why it has none.
fn check(kind: ClientName, rows: &[(&str, Made, Result<&str, &str>)]) {
    for (what, made, expected) in rows {
        let name = name_of(&made.make(None).certificate, kind);
        match (&name, expected) {
            (Ok(name), Ok(expected)) => assert_eq!(name, expected, "{what}"),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{what}: {why}"),
            _ => panic!("{what}: {name:?}"),
        }
    }
}

#[test]
fn the_name_is_where_the_configuration_says() {
    let made = || {
        Made::new("Ann")
            .host("a.example")
            .host("b.example")
            .email("ann@a.example")
            .uri("spiffe://a/ann")
    };
    for (kind, name) in [
        (ClientName::Cn, "Ann"),
        (ClientName::Dns, "a.example"),
        (ClientName::Email, "ann@a.example"),
        (ClientName::Uri, "spiffe://a/ann"),
    ] {
        check(kind, &[("all of them", made(), Ok(name))]);
    }
    let bare = Made::new("Jörg").make(None).certificate;
    for kind in [ClientName::Dns, ClientName::Email, ClientName::Uri] {
        assert!(name_of(&bare, kind).is_err_and(|why| why.contains("no alternative name")));
    }
}

#[test]
fn a_common_name_is_text_of_one_of_three_types() {
    let utf_16: Vec<u8> = "root".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf_32: Vec<u8> = "root".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    let no_type = Err("no UTF8String");
    let not_ascii = Err("not ASCII");
    check(
        ClientName::Cn,
        &[
            ("UTF8String", only(UTF8, "Jörg"), Ok("Jörg")),
            ("PrintableString", only(PRINTABLE, "ann"), Ok("ann")),
            ("IA5String", only(IA5, "ann@a"), Ok("ann@a")),
            (
                "PrintableString with signs that it has not, as some authorities write",
                only(PRINTABLE, "a_*"),
                Ok("a_*"),
            ),
            ("BMPString whose bytes are those of root", only(BMP, "root"), no_type),
            ("BMPString that says root", only(BMP, utf_16), no_type),
            ("UniversalString that says root", only(UNIVERSAL, utf_32), Err("not plain DER")),
            ("TeletexString", only(TELETEX, "root"), no_type),
            ("NumericString", only(NUMERIC, "1"), no_type),
            ("PrintableString in UTF-8", only(PRINTABLE, "Jörg"), not_ascii),
            ("IA5String in Latin-1", only(IA5, b"J\xf6rg"), not_ascii),
        ],
    );
    // OpenSSL 3.0 reads no certificate with such a subject.
    for (what, tag, text) in [
        ("UniversalString whose bytes are those of root", UNIVERSAL, &b"root"[..]),
        ("VisibleString", VISIBLE, b"root"),
        ("UTF8String in Latin-1", UTF8, b"J\xf6rg"),
        ("UTF8String with a longer form of r", UTF8, b"\xc1\xb2oot"),
    ] {
        let is_read = X509Name::from_der(&sequence(&[tlv(0x31, &cn(tag, text))])).is_ok();
        assert!(
            !is_read || name_of(&only(tag, text).make(None).certificate, ClientName::Cn).is_err(),
            "{what}"
        );
    }
}

#[test]
fn a_common_name_is_the_only_one_wherever_it_stands() {
    let unit = || attribute(ORGANISATIONAL_UNIT, UTF8, b"root");
    let bmp_unit = || attribute(ORGANISATIONAL_UNIT, BMP, b"root");
    let two = Err("more than one common name");
    check(
        ClientName::Cn,
        &[
            ("not in the last set", of(&[&[cn(UTF8, "ann")], &[unit()]]), Ok("ann")),
            ("in the last set", of(&[&[unit()], &[cn(UTF8, "ann")]]), Ok("ann")),
            ("in a set of two", of(&[&[cn(UTF8, "ann"), unit()]]), Ok("ann")),
            ("beside a BMPString", of(&[&[bmp_unit()], &[cn(UTF8, "ann")]]), Ok("ann")),
            ("none", of(&[&[unit()]]), Err("no common name")),
            ("an empty subject", of(&[]), Err("no common name")),
            ("two", of(&[&[cn(UTF8, "ann")], &[cn(UTF8, "root")]]), two),
            ("two in one set", of(&[&[cn(UTF8, "ann"), cn(UTF8, "root")]]), two),
            ("two alike", of(&[&[cn(UTF8, "ann")], &[cn(UTF8, "ann")]]), two),
            (
                "one more of a type that is not read",
                of(&[&[cn(UTF8, "ann")], &[cn(BMP, "root")]]),
                two,
            ),
            ("one more that is empty", of(&[&[cn(UTF8, "ann")], &[cn(UTF8, "")]]), two),
        ],
    );
}

#[test]
fn a_common_name_is_clear() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let size = Err("empty or longer");
    let unclear = Err("control or invisible");
    check(
        ClientName::Cn,
        &[
            ("the longest", only(UTF8, &long[1..]), Ok(&long[1..])),
            ("one byte more", only(UTF8, &long), size),
            ("very long", only(UTF8, "x".repeat(60_000)), size),
            ("empty", only(UTF8, ""), size),
            ("capitals stay", only(UTF8, "Root"), Ok("Root")),
            ("a space between", only(UTF8, "Ann Ångström"), Ok("Ann Ångström")),
            ("NUL behind", only(UTF8, "root\0"), unclear),
            ("NUL within", only(IA5, "root\0.example"), unclear),
            ("a line", only(UTF8, "ann\nroot"), unclear),
            ("ESC", only(PRINTABLE, "\x1b[2Jroot"), unclear),
            ("C1", only(UTF8, "root\u{85}"), unclear),
            ("DEL", only(UTF8, "root\x7f"), unclear),
            ("a space before", only(UTF8, " root"), unclear),
            ("a space behind", only(UTF8, "root "), unclear),
            ("a wide space behind", only(UTF8, "root\u{3000}"), unclear),
            ("only a space", only(UTF8, " "), unclear),
            ("a zero width space", only(UTF8, "ro\u{200b}ot"), unclear),
            ("a mark of byte order", only(UTF8, "\u{feff}root"), unclear),
            ("letters from right to left", only(UTF8, "\u{202e}toor"), unclear),
            ("a line separator", only(UTF8, "ann\u{2028}root"), unclear),
            ("a tag", only(UTF8, "root\u{e0041}"), unclear),
            ("a joiner of graphemes", only(UTF8, "ro\u{34f}ot"), unclear),
            ("a filler of Hangul", only(UTF8, "root\u{3164}"), unclear),
            ("half a filler of Hangul", only(UTF8, "\u{ffa0}root"), unclear),
            ("an empty Braille pattern", only(UTF8, "root\u{2800}"), unclear),
            ("a variation selector", only(UTF8, "root\u{fe0f}"), unclear),
            ("a supplementary variation selector", only(UTF8, "root\u{e0100}"), unclear),
            ("a Mongolian selector", only(UTF8, "root\u{180b}"), unclear),
            ("a vowel of Khmer that is not written", only(UTF8, "root\u{17b4}"), unclear),
            ("an unassigned character", only(UTF8, "root\u{378}"), unclear),
            ("a space that does not break", only(UTF8, "ann\u{a0}lee"), unclear),
            ("letters and marks of Hindi", only(UTF8, "हिन्दी"), Ok("हिन्दी")),
        ],
    );
}

const BAD_ALTERNATIVE: Result<&str, &str> = Err("its alternative name is malformed");
const NO_ALTERNATIVE: Result<&str, &str> = Err("no alternative name");
const NOT_ASCII: Result<&str, &str> = Err("not ASCII");

/// A user's principal name, which is an alternative name of another kind.
fn principal() -> Vec<u8> {
    let upn = sequence(&[
        tlv(6, &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3]),
        tlv(0xa0, &tlv(UTF8, b"root@a")),
    ]);
    upn[2..].to_vec()
}

#[test]
fn a_dns_name_is_one_of_its_kind() {
    let (malformed, none, not_ascii) = (BAD_ALTERNATIVE, NO_ALTERNATIVE, NOT_ASCII);
    let other = &principal();
    let long = [b"x".repeat(NAME_BYTES_MAX), b".x".to_vec()].concat();
    check(
        ClientName::Dns,
        &[
            (
                "the first",
                named(&[(ADDRESS, &[10, 0, 0, 1]), (DNS, b"a.example"), (DNS, b"root")]),
                Ok("a.example"),
            ),
            ("capitals stay", named(&[(DNS, b"A.example")]), Ok("A.example")),
            (
                "an international name",
                named(&[(DNS, b"xn--jrg-sna.example")]),
                Ok("xn--jrg-sna.example"),
            ),
            ("a dot behind", named(&[(DNS, b"root.")]), malformed),
            ("a dot alone", named(&[(DNS, b".")]), malformed),
            ("empty", named(&[(DNS, b"")]), malformed),
            ("a wildcard", named(&[(DNS, b"*.example")]), malformed),
            ("a space behind", named(&[(DNS, b"root ")]), malformed),
            ("NUL", named(&[(DNS, b"root\0.example")]), malformed),
            ("a line", named(&[(DNS, b"ann\nroot")]), malformed),
            ("very long", named(&[(DNS, &long)]), Err("longer than 256")),
            ("UTF-8", named(&[(DNS, "jörg.example".as_bytes())]), not_ascii),
            (
                "Latin-1 before another",
                named(&[(DNS, b"j\xf6rg.example"), (DNS, b"root")]),
                not_ascii,
            ),
            ("constructed", named(&[(CONSTRUCTED_DNS, &tlv(IA5, b"root"))]), Err("not plain DER")),
            (
                "of other kinds",
                named(&[(OTHER_NAME, other), (EMAIL, b"root@a"), (URI, b"root:a")]),
                none,
            ),
            ("an empty list", named(&[]), none),
            (
                "two lists",
                named(&[(DNS, b"ann")]).alternatives(sequence(&[tlv(DNS, b"root")])),
                Err("two lists"),
            ),
            ("no list", Made::new("root"), none),
        ],
    );
}

#[test]
fn an_email_address_or_a_uri_is_one_of_its_kind() {
    let (malformed, none, not_ascii) = (BAD_ALTERNATIVE, NO_ALTERNATIVE, NOT_ASCII);
    let other = &principal();
    check(
        ClientName::Email,
        &[
            ("one", named(&[(DNS, b"root"), (EMAIL, b"ann@a.example")]), Ok("ann@a.example")),
            ("a user's name", named(&[(EMAIL, b"root")]), malformed),
            ("nobody", named(&[(EMAIL, b"@a.example")]), malformed),
            ("nowhere", named(&[(EMAIL, b"root@")]), malformed),
            ("a space", named(&[(EMAIL, b"root @a")]), malformed),
            ("NUL", named(&[(EMAIL, b"root@a\0.example")]), malformed),
            ("UTF-8", named(&[(EMAIL, "jörg@a".as_bytes())]), not_ascii),
            ("of other kinds", named(&[(OTHER_NAME, other), (DNS, b"root")]), none),
        ],
    );
    check(
        ClientName::Uri,
        &[
            ("one", named(&[(URI, b"spiffe://a/ann")]), Ok("spiffe://a/ann")),
            ("a user's name", named(&[(URI, b"root")]), malformed),
            ("no scheme", named(&[(URI, b"://root")]), malformed),
            ("only a scheme", named(&[(URI, b"root:")]), malformed),
            ("a space before", named(&[(URI, b" a://root")]), malformed),
            ("NUL", named(&[(URI, b"a://root\0")]), malformed),
            ("UTF-8", named(&[(URI, "a://jörg".as_bytes())]), not_ascii),
        ],
    );
}
