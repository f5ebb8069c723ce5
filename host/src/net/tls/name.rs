//! The caller's name in a client's certificate.
//!
//! Reads the certificate's DER, because the binding of OpenSSL does not tell a string's type: the
//! bytes of a BMPString `牯潴` are those of `root`. A name that could be taken for another one is
//! refused. Names are not normalised: `Ann` and `ann` are two names.

use crate::text;
use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use openssl::x509::X509Ref;
use serde::Deserialize;

/// Longer names are refused.
const NAME_BYTES_MAX: usize = 256;
/// 2.5.4.3 (RFC 5280, appendix A.1).
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// 2.5.29.17 (RFC 5280, section 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 29, 17];
/// Optional fields of a certificate (RFC 5280, section 4.1).
const VERSION: TagNumber = TagNumber(0);
const EXTENSIONS: TagNumber = TagNumber(3);
/// Kinds of general names (RFC 5280, section 4.2.1.6).
const EMAIL: TagNumber = TagNumber(1);
const DNS: TagNumber = TagNumber(2);
const URI: TagNumber = TagNumber(6);

/// Where the caller's name is in a client's certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ClientName {
    /// The subject's only common name.
    #[default]
    Cn,
    /// The first host name of the subjectAltName.
    Dns,
    /// The first mail address of the subjectAltName.
    Email,
    /// The first URI of the subjectAltName.
    Uri,
}

/// Why a certificate has no name.
type Unnamed = &'static str;

const MALFORMED: Unnamed = "it is not plain DER";

/// Reads the caller's name.
///
/// # Errors
/// Why the certificate has none, or none that is clear.
pub(super) fn name_of(certificate: &X509Ref, kind: ClientName) -> Result<String, Unnamed> {
    let der = certificate.to_der().map_err(malformed)?;
    let parts = elements(AnyRef::from_der(&der).map_err(malformed)?)?;
    let fields = elements(*parts.first().ok_or(MALFORMED)?)?;
    let fields = match &fields[..] {
        [version, fields @ ..] if version.tag() == VERSION.context_specific(true) => fields,
        fields => fields,
    };
    let [_serial, _algorithm, _issuer, _validity, subject, _key, optional @ ..] = fields else {
        return Err(MALFORMED);
    };
    let (name, is_of_form): (_, fn(&str) -> bool) = match kind {
        ClientName::Cn => (common_name(*subject)?, |_| true),
        ClientName::Dns => (alternative(optional, DNS)?, is_host),
        ClientName::Email => (alternative(optional, EMAIL)?, is_email),
        ClientName::Uri => (alternative(optional, URI)?, is_uri),
    };
    if !is_of_form(name) {
        return Err("its alternative name is malformed");
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("its name is empty or longer than 256 bytes");
    }
    if name.trim() != name || name.contains(is_unclear) {
        return Err("its name has control or invisible characters, or spaces around it");
    }
    Ok(name.to_owned())
}

/// Finds the subject's only common name.
fn common_name(subject: AnyRef<'_>) -> Result<&str, Unnamed> {
    let mut names = Vec::new();
    for relative in elements(subject)? {
        for attribute in elements(relative)? {
            match elements(attribute)?[..] {
                [kind, name] if is_object(kind, COMMON_NAME) => names.push(name),
                [_, _] => {}
                _ => return Err(MALFORMED),
            }
        }
    }
    let name = match names[..] {
        [name] => name,
        [] => return Err("its subject has no common name"),
        // Two readers could choose differently.
        _ => return Err("its subject has more than one common name"),
    };
    match name.tag() {
        Tag::Utf8String => {
            std::str::from_utf8(name.value()).map_err(|_| "its common name is not UTF-8")
        }
        Tag::PrintableString | Tag::Ia5String => {
            ascii(name).ok_or("its common name is not ASCII, as its string type wants")
        }
        _ => Err("its common name is no UTF8String, PrintableString or IA5String"),
    }
}

/// Finds the first general name of this kind.
fn alternative<'a>(optional: &[AnyRef<'a>], kind: TagNumber) -> Result<&'a str, Unnamed> {
    let none = "it has no alternative name of the wanted kind";
    let extensions = optional.iter().find(|field| field.tag() == EXTENSIONS.context_specific(true));
    let list = elements(*extensions.ok_or(none)?)?;
    let mut found = Vec::new();
    for extension in elements(*list.first().ok_or(MALFORMED)?)? {
        match elements(extension)?[..] {
            [kind, .., value] if is_object(kind, SUBJECT_ALT_NAME) => found.push(value),
            [_, _] | [_, _, _] => {}
            _ => return Err(MALFORMED),
        }
    }
    let value = match found[..] {
        [value] => value,
        [] => return Err(none),
        _ => return Err("it has two lists of alternative names"),
    };
    let names = elements(AnyRef::from_der(value.value()).map_err(malformed)?)?;
    let of_kind = |name: &&AnyRef<'_>| {
        let tag = name.tag();
        matches!(tag, Tag::ContextSpecific { number, .. } if number == kind)
    };
    let name = *names.iter().find(of_kind).ok_or(none)?;
    if name.tag().is_constructed() {
        return Err(MALFORMED);
    }
    // Every kind is an IA5String, so the encoding holds no string type.
    ascii(name).ok_or("its alternative name is not ASCII")
}

/// Splits a constructed value.
fn elements(value: AnyRef<'_>) -> Result<Vec<AnyRef<'_>>, Unnamed> {
    let mut reader = SliceReader::new(value.value()).map_err(malformed)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(reader.decode().map_err(malformed)?);
    }
    Ok(found)
}

fn malformed<E>(_: E) -> Unnamed {
    MALFORMED
}

fn is_object(value: AnyRef<'_>, id: &[u8]) -> bool {
    value.tag() == Tag::ObjectIdentifier && value.value() == id
}

fn ascii(value: AnyRef<'_>) -> Option<&str> {
    std::str::from_utf8(value.value()).ok().filter(|text| text.is_ascii())
}

/// Whether this names one host: no wildcard, no empty label, no dot at the end.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.split('.').all(is_label)
}

/// Whether this is `LOCAL@HOST`.
fn is_email(name: &str) -> bool {
    let has_parts = |(local, host): (&str, &str)| !local.is_empty() && !host.is_empty();
    name.split_once('@').is_some_and(has_parts) && is_visible(name)
}

/// Whether this begins with a scheme (RFC 3986, section 3.1).
fn is_uri(name: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let has_parts = |(scheme, rest): (&str, &str)| is_scheme(scheme) && !rest.is_empty();
    name.split_once(':').is_some_and(has_parts) && is_visible(name)
}

fn is_visible(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a reader does not see this character, takes it for another one, or sees others because
/// of it. Spaces of other widths look like the usual one.
fn is_unclear(c: char) -> bool {
    text::is_escaped(c) || (c.is_whitespace() && c != ' ')
}

#[cfg(test)]
mod tests;
