//! The lines by which a probe tells what it has done. One word, then text to the line's end.

use crate::text;

/// How much text a line has.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The process is confined; loading begins.
    Ready,
    /// The library is mapped and its constructors have run.
    Loaded,
    /// The table keeps the rules, and this is the plugin's name. The settings are awaited.
    Named(String),
    /// No two of its instances may live at the same time. Comes before the name.
    Exclusive,
    /// There is an instance.
    Created,
    /// It is destroyed.
    Destroyed,
    /// What an operator should know.
    Warning(String),
    /// The content is refused, for this reason.
    Refused(String),
    /// It could not be tried, for this reason, which is not the content's.
    Failed(String),
}

impl Line {
    /// With its line break, and with none before.
    pub(super) fn print(&self) -> String {
        let (word, text) = match self {
            Self::Ready => ("ready", ""),
            Self::Loaded => ("loaded", ""),
            Self::Named(name) => ("named", name.as_str()),
            Self::Exclusive => ("exclusive", ""),
            Self::Created => ("created", ""),
            Self::Destroyed => ("destroyed", ""),
            Self::Warning(text) => ("warning", text.as_str()),
            Self::Refused(text) => ("refused", text.as_str()),
            Self::Failed(text) => ("failed", text.as_str()),
        };
        format!("{word} {}\n", text::line_of(text.as_bytes(), TEXT_BYTES_MAX))
    }

    /// None for what [`Line::print`] does not write.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let (word, text) = line.split_once(' ')?;
        let text = || text.to_owned();
        Some(match word {
            "ready" => Self::Ready,
            "loaded" => Self::Loaded,
            "named" => Self::Named(text()),
            "exclusive" => Self::Exclusive,
            "created" => Self::Created,
            "destroyed" => Self::Destroyed,
            "warning" => Self::Warning(text()),
            "refused" => Self::Refused(text()),
            "failed" => Self::Failed(text()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_one_line_that_is_understood() {
        let lines =
            [Line::Ready, Line::Loaded, Line::Named("sums".into()), Line::Created, Line::Destroyed];
        let texts = [
            Line::Warning("a b".into()),
            Line::Refused("no: ü".into()),
            Line::Failed(String::new()),
        ];
        for line in lines.into_iter().chain(texts) {
            assert_eq!(Line::parse(line.print().as_bytes()), Some(line));
        }
        let broken = Line::Refused("one\ndestroyed \n".into()).print();
        assert_eq!(broken, "refused one\\ndestroyed \\n\n");
        assert_eq!(Line::parse(b"\xff \n"), None);
        assert_eq!(Line::parse(b"ready"), None);
    }
}
