//! Errors in a config file: where they are, and what was probably meant.

/// As alike as this, from 0 to 1, a known name may be what was meant.
const LIKENESS_MIN: f64 = 0.8;

/// A place in the file, as in "under [limits]", and the keys that are known there.
pub(super) type Place = (String, Vec<String>);

/// One line: where it is, the mistake, and the nearest right name. `places` are all there are.
pub(super) fn describe(error: &toml::de::Error, text: &str, places: &[Place]) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map(|before| {
        let line = before.rsplit('\n').next().unwrap_or_default();
        format!("line {}, column {}: ", before.matches('\n').count() + 1, line.chars().count() + 1)
    });
    format!("{}{}", place.unwrap_or_default(), explain(error.message(), places))
}

fn explain(message: &str, places: &[Place]) -> String {
    let Some(Unknown { is_key, name, known }) = Unknown::read(message) else {
        return message.to_owned();
    };
    let what = if is_key { "key" } else { "value" };
    if let Some((_, meant)) = nearest(&name, &known) {
        return format!("unknown {what} `{name}`; did you mean `{meant}`?");
    }
    if is_key && let Some((meant, place)) = elsewhere(&name, places) {
        return if *meant == name {
            format!("unknown key `{name}` in this table; it belongs {place}")
        } else {
            format!("unknown key `{name}`; did you mean `{meant}` {place}?")
        };
    }
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("unknown {what} `{name}`; known here: {}", known.join(", "))
}

/// The nearest name of any place.
fn elsewhere<'a>(name: &str, places: &'a [Place]) -> Option<(&'a String, &'a str)> {
    let mut best: Option<(f64, &String, &str)> = None;
    for (place, known) in places {
        if let Some((likeness, meant)) = nearest(name, known)
            && best.is_none_or(|(best, ..)| likeness > best)
        {
            best = Some((likeness, meant, place));
        }
    }
    best.map(|(_, meant, place)| (meant, place))
}

/// How alike, from 0 to 1, and what.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<(f64, &'a String)> {
    let likeness = |known: &str| strsim::jaro(name, known);
    let mut best: Option<(f64, &String)> = None;
    for candidate in known {
        let likeness = likeness(candidate);
        if likeness >= LIKENESS_MIN && best.is_none_or(|(best, _)| likeness > best) {
            best = Some((likeness, candidate));
        }
    }
    best
}

/// serde's words for a name that is none: it has no other form for them.
#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    is_key: bool,
    name: String,
    known: Vec<String>,
}

impl Unknown {
    fn read(message: &str) -> Option<Self> {
        let (is_key, rest) = match message.strip_prefix("unknown field `") {
            Some(rest) => (true, rest),
            None => (false, message.strip_prefix("unknown variant `")?),
        };
        // A key may hold anything in quotes, but what follows it is ours.
        let (name, known) = rest.rsplit_once("`, expected ")?;
        let known = known.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        Some(Self { is_key, name: name.to_owned(), known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_s_words_are_understood() {
        let unknown = |message: &str| {
            let Unknown { name, known, .. } = Unknown::read(message).unwrap();
            (name, known.join(" "))
        };
        assert_eq!(unknown("unknown field `x`, expected `a`"), ("x".into(), "a".into()));
        assert_eq!(unknown("unknown field `x`, expected `a` or `b`"), ("x".into(), "a b".into()));
        assert_eq!(
            unknown("unknown variant `x`, expected one of `a`, `b`, `c`"),
            ("x".into(), "a b c".into())
        );
        assert_eq!(
            unknown("unknown field `a`, expected `b``, expected `a`"),
            ("a`, expected `b`".into(), "a".into())
        );
        assert_eq!(Unknown::read("invalid type: map, expected a sequence"), None);
    }

    #[test]
    fn what_was_meant_is_said_if_it_is_near() {
        let known =
            ["cert", "key", "workers", "plugins_dir", "body_bytes_max"].map(ToOwned::to_owned);
        let near = |name: &str| nearest(name, &known).map(|(_, known)| known.as_str());
        assert_eq!(near("worker"), Some("workers"));
        assert_eq!(near("plugin_dirs"), Some("plugins_dir"));
        assert_eq!(near("cret"), Some("cert"));
        assert_eq!(near("body_max"), Some("body_bytes_max"));
        assert_eq!(near("listen"), None);
    }

    #[test]
    fn a_key_is_sent_where_it_belongs() {
        let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
        let places: [Place; 3] = [
            ("at the top".into(), keys(&["https", "cert"])),
            ("under [limits]".into(), keys(&["connections_max", "call_ms_max"])),
            ("under [[certificates]]".into(), keys(&["cert"])),
        ];
        let meant =
            |name: &str| elsewhere(name, &places).map(|(key, place)| format!("{key} {place}"));
        assert_eq!(meant("conections_max").as_deref(), Some("connections_max under [limits]"));
        assert_eq!(meant("http").as_deref(), Some("https at the top"));
        assert_eq!(meant("cert").as_deref(), Some("cert at the top"), "the first of equals");
        assert_eq!(meant("nonsense"), None);
    }
}
