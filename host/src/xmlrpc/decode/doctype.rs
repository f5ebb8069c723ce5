//! Looks for entities before a document's root element, byte by byte, ahead of the parser.
//!
//! xml-rs reports a DOCTYPE once it has read it all. By then it has expanded parameter entities,
//! which can grow without bound. So no declaration of an entity and no reference to a parameter
//! entity may reach it.
//!
//! Text in comments, processing instructions and literals is neither of these, so both parsers
//! must agree where such text ends. They do:
//!
//! - a comment ends at `-->`, a processing instruction at `?>`, and a literal at its own quotation
//!   mark;
//! - a declaration ends at the `>` outside its literals;
//! - only these and white space may stand between declarations.
//!
//! Where the two could differ, xml-rs has already failed, or the document is refused here.
//!
//! Must not know the parser, nor anything after the start of the root element.

use crate::xmlrpc::fault::code;

/// How far the search has come.
#[derive(Default)]
pub(super) struct Search {
    place: Place,
    in_subset: bool,
}

/// What the bytes so far end in.
#[derive(Clone, Copy, Default)]
enum Place {
    /// Before the root, outside of all markup. What else than markup stands here, the parser
    /// refuses.
    #[default]
    Prolog,
    /// `<`.
    Opened,
    /// `<!`.
    Exclaimed,
    /// `<!-`.
    Dashed,
    /// A comment, and how many dashes it ends in: two at most.
    Comment(u8),
    /// A processing instruction, the XML declaration too, and whether it ends in a question mark.
    Instruction(bool),
    /// A DOCTYPE before its subset: the name, and where the rest of it is.
    Doctype,
    /// One of its literals, which this quotation mark ends.
    DoctypeLiteral(u8),
    /// Between the declarations of the internal subset.
    Subset,
    /// Behind the subset.
    SubsetEnd,
    /// `<!E`.
    ElementOrEntity,
    /// A declaration that is no entity's.
    Declaration,
    /// One of its literals, which this quotation mark ends.
    Literal(u8),
    /// The root's start tag: from here on, the parser takes no DOCTYPE.
    Root,
}

/// Why a document is refused before the parser sees the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An entity is declared, or a parameter entity is used.
    Entity,
    /// No XML, and nobody can tell how the parser would read it.
    Malformed,
}

impl Refusal {
    pub(super) const fn code(self) -> i32 {
        match self {
            Self::Entity => code::INVALID_REQUEST,
            Self::Malformed => code::NOT_WELL_FORMED,
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Entity => {
                "a DOCTYPE that declares entities is not accepted, nor one with a percent sign \
                 that would use one"
            }
            Self::Malformed => {
                "this DOCTYPE is not well-formed: between '[' and ']' belong declarations, \
                 comments and processing instructions"
            }
        }
    }
}

impl Search {
    /// Takes the next byte, of a document in UTF-8.
    ///
    /// # Errors
    /// The parser must not be given this byte.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Refusal> {
        self.place = match (self.place, byte) {
            (Place::Prolog, b'<') => Place::Opened,
            (Place::Opened, b'!') => Place::Exclaimed,
            (Place::Opened, b'?') => Place::Instruction(false),
            (Place::Opened, _) if !self.in_subset => Place::Root,
            (Place::Exclaimed, b'-') => Place::Dashed,
            (Place::Exclaimed, b'D') if !self.in_subset => Place::Doctype,
            (Place::Exclaimed, b'E') if self.in_subset => Place::ElementOrEntity,
            (Place::Exclaimed, b'A' | b'N') if self.in_subset => Place::Declaration,
            (Place::Dashed, b'-') => Place::Comment(0),
            (Place::Comment(dashes @ 0..2), b'-') => Place::Comment(dashes + 1),
            (Place::Comment(0..2), _) => Place::Comment(0),
            (Place::Comment(_), b'>') | (Place::Instruction(true), b'>') => self.outside(),
            (Place::Instruction(_), _) => Place::Instruction(byte == b'?'),
            (Place::Opened | Place::Exclaimed | Place::Dashed | Place::Comment(_), _) => {
                self.unknown()?
            }
            (Place::Doctype | Place::Subset | Place::SubsetEnd, _) => self.doctype(byte)?,
            (Place::DoctypeLiteral(quote), _) if quote == byte => Place::Doctype,
            (Place::ElementOrEntity, b'L') => Place::Declaration,
            (Place::ElementOrEntity, b'N') | (Place::Declaration, b'%') => {
                return Err(Refusal::Entity);
            }
            (Place::Declaration, b'"' | b'\'') => Place::Literal(byte),
            (Place::Declaration, b'>') => Place::Subset,
            (Place::ElementOrEntity, _) | (Place::Declaration, b'<') => {
                return Err(Refusal::Malformed);
            }
            (Place::Literal(quote), _) if quote == byte => Place::Declaration,
            (
                place @ (Place::Prolog
                | Place::DoctypeLiteral(_)
                | Place::Declaration
                | Place::Literal(_)
                | Place::Root),
                _,
            ) => place,
        };
        Ok(())
    }

    fn doctype(&mut self, byte: u8) -> Result<Place, Refusal> {
        Ok(match (self.place, byte) {
            (Place::Doctype, b'"' | b'\'') => Place::DoctypeLiteral(byte),
            (Place::Doctype, b'[') => {
                self.in_subset = true;
                Place::Subset
            }
            (Place::Doctype | Place::SubsetEnd, b'>') => {
                self.in_subset = false;
                Place::Prolog
            }
            (Place::Subset, b'<') => Place::Opened,
            (Place::Subset, b']') => Place::SubsetEnd,
            (Place::Subset, b'%') => return Err(Refusal::Entity),
            (place @ (Place::Subset | Place::SubsetEnd), b' ' | b'\t' | b'\r' | b'\n') => place,
            (Place::Subset | Place::SubsetEnd, _) | (Place::Doctype, b'<') => {
                return Err(Refusal::Malformed);
            }
            (place, _) => place,
        })
    }

    /// Behind a comment or a processing instruction.
    const fn outside(&self) -> Place {
        if self.in_subset { Place::Subset } else { Place::Prolog }
    }

    /// Behind markup that is none: outside of a DOCTYPE the parser has words for that, and does not
    /// go on.
    const fn unknown(&self) -> Result<Place, Refusal> {
        if self.in_subset { Err(Refusal::Malformed) } else { Ok(Place::Prolog) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use xml::reader::{ParserConfig, XmlEvent};

    fn search(document: &str) -> Result<(), Refusal> {
        let mut search = Search::default();
        document.bytes().try_for_each(|byte| search.take(byte))
    }

    /// Whether xml-rs, alone, replaces `&e;` by something in the root element.
    fn expands(document: &str) -> bool {
        let config = ParserConfig::new().coalesce_characters(false);
        let events = config.create_reader(document.as_bytes()).into_iter();
        events
            .map_while(Result::ok)
            .any(|event| matches!(event, XmlEvent::Characters(text) if text == "x"))
    }

    const ROOT: &str = "<a>&e;</a>";

    #[test]
    fn entities_are_found_wherever_they_are_declared() {
        for prolog in [
            "<!DOCTYPE a [<!ENTITY e 'x'>]>",
            "<?xml version='1.0'?><!-- - --><?p ?><!DOCTYPE a SYSTEM '[' [<!ENTITY e 'x'>]>",
            "<!--><!DOCTYPE a [--><!DOCTYPE a PUBLIC \"'\" '\"' [<!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!-- ' --><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!-- <? --><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!--> --><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<?p ' <!-- ??><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<?p?><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!ELEMENT a ANY><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!ATTLIST a b CDATA '-->'><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!ATTLIST a b CDATA \"'<!--\"><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [<!NOTATION n SYSTEM ']>'><!ENTITY e 'x'>]>",
            "<!DOCTYPE a [\r\n\t <!ENTITY e 'x'>]>",
        ] {
            let document = format!("{prolog}{ROOT}");
            assert!(expands(&document), "no entity: {document}");
            assert_eq!(search(&document), Err(Refusal::Entity), "{document}");
        }
        for subset in ["%p;", "<!ENTITY % p 'x'>", "<!ELEMENT a %p;>", "<!ENTITY", "<!EN"] {
            let document = format!("<!DOCTYPE a [{subset}]>{ROOT}");
            assert_eq!(search(&document), Err(Refusal::Entity), "{document}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for subset in [
            "'<!ENTITY e \"x\">'",
            "\" \"",
            "text",
            "é",
            "&e;",
            "<a>",
            "</a>",
            "<![CDATA[<!ENTITY e 'x'>]]>",
            "<![INCLUDE[<!ENTITY e 'x'>]]>",
            "<!DOCTYPE b [",
            "<!element a ANY>",
            "<!E>",
            "<!- -->",
            "<!-- -- -->",
            "<!-- --->",
            "<!ELEMENT a <!ENTITY e 'x'>>",
            "<!ATTLIST a b CDATA ''<!-- '>",
            "]]>",
            "] [<!ENTITY e 'x'>",
            "] SYSTEM '",
            "] <!-- -->",
        ] {
            let document = format!("<!DOCTYPE a [{subset}]>{ROOT}");
            assert_eq!(search(&document), Err(Refusal::Malformed), "{document}");
        }
        assert_eq!(search("<!DOCTYPE a <!-- [ --> [<!ENTITY e 'x'>]>"), Err(Refusal::Malformed));
    }

    /// Declarations as they hide, and all that begins and ends something.
    const PIECES: &[&str] = &[
        "<!ENTITY e 'x'>",
        "<!ENTITY e \"x\">",
        "<!ENTITY % p 'x'>",
        "%p;",
        "<!ELEMENT a ANY",
        "<!ATTLIST a b CDATA ",
        "<!NOTATION n SYSTEM ",
        "<!DOCTYPE a ",
        "<!DOCTYPE a [",
        "<!--",
        "-->",
        "--",
        "<?p ",
        "?>",
        "<![CDATA[",
        "]]>",
        "]",
        "[",
        "<",
        ">",
        "'",
        "\"",
        "/",
        "&",
        ";",
        "%",
        " ",
        "é",
        "SYSTEM ",
        "PUBLIC ",
    ];

    fn pieces(count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        vec(select(PIECES), count).prop_map(|pieces| pieces.concat())
    }

    /// Text that holds what looks like entities, and nothing of these.
    fn text_without(forbidden: &'static [&'static str]) -> impl Strategy<Value = String> {
        pieces(0..6).prop_map(move |text| {
            let blank = |text: String, part: &&str| text.replace(part, &" ".repeat(part.len()));
            format!(" {} ", forbidden.iter().fold(text, blank))
        })
    }

    /// What may stand in an internal subset, with anything in it that may stand there.
    fn declaration() -> impl Strategy<Value = String> {
        prop_oneof![
            text_without(&["--"]).prop_map(|text| format!("<!--{text}-->")),
            text_without(&["?>"]).prop_map(|text| format!("<?p {text}?>")),
            text_without(&["'"]).prop_map(|text| format!("<!ATTLIST a b CDATA '{text}'>")),
            text_without(&["\""]).prop_map(|text| format!("<!NOTATION n SYSTEM \"{text}\">\n")),
            Just("<!ELEMENT a (b|c)*>".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        /// However it is wrapped up, what xml-rs takes for a declaration does not pass.
        #[test]
        fn no_entity_is_smuggled_in(
            first in pieces(0..4),
            begin in select(&["", "<!DOCTYPE a [", "<!DOCTYPE a SYSTEM '' ["][..]),
            hiding in prop_oneof![pieces(0..4), declaration()],
            entity in select(&["<!ENTITY e 'x'>", "<!ENTITY % p '<!ENTITY e \"x\">'>%p;"][..]),
            end in prop_oneof![Just(String::new()), pieces(0..4)],
        ) {
            let document = format!("{first}{begin}{hiding}{entity}{end}]>{ROOT}");
            prop_assert!(!expands(&document) || search(&document).is_err(), "{}", document);
        }

        /// What only looks like one passes, and xml-rs takes it for none.
        #[test]
        fn text_about_entities_passes(
            before in text_without(&["--"]),
            declarations in vec(declaration(), 0..5),
            after in text_without(&["?>"]),
        ) {
            let subset = declarations.concat();
            let document = format!("<!--{before}--><!DOCTYPE a [{subset}]\n><?p {after}?>\
                                    <a b='%p;'>x</a>");
            prop_assert_eq!(search(&document), Ok(()), "{}", document);
            prop_assert!(expands(&document), "{}", document);
        }
    }
}
