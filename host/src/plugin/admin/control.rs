//! Operators' access to the life cycle through `hotcall.*`: the status as values, and reloads.

use crate::plugin::lifecycle::events::{Mailbox, Reload, ReloadError};
use crate::plugin::lifecycle::published::Shared;
use crate::plugin::lifecycle::status::PluginStatus;
use crate::registry::Control;
use crate::text;
use crate::xmlrpc::{DateTime, Fault, Value, code};
use crossbeam_channel::{RecvTimeoutError, bounded};
use jiff::tz::Offset;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

/// Reloads that are waited for at one time. Who waits occupies one of the workers for the server's
/// own methods, for as long as a plugin takes to be made.
const RELOADS_AWAITED_MAX: usize = 1;

/// A handle to the running life cycle that asks and reads.
pub(crate) struct Controller {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) shared: Arc<Shared>,
}

impl Control for Controller {
    fn plugins(&self) -> Value {
        Value::Array(self.shared.status().iter().map(value_of).collect())
    }

    fn reload(&self, wanted: &str, deadline: Instant) -> Result<Value, Fault> {
        if Instant::now() >= deadline {
            return Err(Fault::new(
                code::DEADLINE,
                "the call's deadline passed before the reload could begin",
            ));
        }
        // Before it is asked for: what is answered with a fault was not done, and may be asked for
        // again.
        let Some(_turn) = Turn::take(&self.shared.reloads_awaited) else {
            return Err(Fault::new(
                code::OVERLOADED,
                format!(
                    "{} was not reloaded: another reload is under way; try again when it is done",
                    text::echoed(wanted)
                ),
            ));
        };
        let (reply, replied) = bounded(1);
        if !self.mailbox.reload(Reload { wanted: wanted.to_owned(), reply }) {
            return Err(Fault::new(
                code::OVERLOADED,
                "too many reloads wait, or the server is stopping",
            ));
        }
        match replied.recv_deadline(deadline) {
            Ok(Ok(())) => self.served(wanted),
            Ok(Err(ReloadError::Unknown)) => Err(unknown(wanted)),
            Ok(Err(ReloadError::Refused(why))) => {
                Err(Fault::new(code::APPLICATION, format!("{wanted} was not reloaded: {why}")))
            }
            Err(RecvTimeoutError::Timeout) => Err(Fault::new(
                code::DEADLINE,
                format!("the reload of {wanted} goes on; hotcall.plugins shows what becomes of it"),
            )),
            Err(RecvTimeoutError::Disconnected) => Err(Fault::new(
                code::APPLICATION,
                format!("{wanted} was not reloaded: the server is stopping"),
            )),
        }
    }
}

impl Controller {
    fn served(&self, wanted: &str) -> Result<Value, Fault> {
        let is_meant = |status: &&PluginStatus| {
            let is_file = status.file.file_name().is_some_and(|name| name == wanted);
            status.generation.is_some() && (is_file || status.name.as_deref() == Some(wanted))
        };
        // It may have been removed since.
        self.shared.status().iter().find(is_meant).map(value_of).ok_or_else(|| unknown(wanted))
    }
}

/// The right to wait for a reload.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    fn take(taken: &'a AtomicUsize) -> Option<Self> {
        let more = |taken: usize| (taken < RELOADS_AWAITED_MAX).then_some(taken + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(taken))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unknown(wanted: &str) -> Fault {
    Fault::new(
        code::INVALID_PARAMS,
        format!(
            "there is no plugin or file {:?}; hotcall.plugins lists those there are",
            text::echoed(wanted)
        ),
    )
}

/// A struct of what is known: what is not has no member, so that every client can read it. Texts of
/// files and plugins are cleaned, because XML cannot carry all characters.
fn value_of(status: &PluginStatus) -> Value {
    let clean = |text: &str| Value::from(&*text::line(text));
    let text = |text: &Option<String>| text.as_deref().map(clean);
    let texts = |texts: &[String]| Value::Array(texts.iter().map(|text| clean(text)).collect());
    let members = [
        ("name", text(&status.name)),
        ("version", text(&status.version)),
        ("description", text(&status.description)),
        ("file", Some(clean(&status.file.to_string_lossy()))),
        ("sha256", text(&status.sha256)),
        ("file_sha256", text(&status.file_sha256)),
        ("generation", status.generation.map(number)),
        ("state", Some(Value::from(status.state.name()))),
        ("methods", Some(texts(&status.methods))),
        ("calls", Some(number(status.calls))),
        ("faults", Some(number(status.faults))),
        ("last_error", text(&status.last_error)),
        ("warnings", Some(texts(&status.warnings))),
        ("reload", status.reload.map(|mode| Value::from(mode.name()))),
        ("loaded_at", status.loaded_at.and_then(utc).map(Value::DateTime)),
        ("retry_at", status.retry_at.and_then(utc).map(Value::DateTime)),
        ("callers_refused", Some(number(status.callers_refused as u64))),
        ("kept_generations", Some(number(status.kept_generations as u64))),
        ("kept_bytes", Some(number(status.kept_bytes))),
        ("kept_file_bytes", Some(number(status.kept_file_bytes))),
    ];
    let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Struct(known.collect())
}

/// The smallest type that holds it: not every client knows i8.
fn number(number: u64) -> Value {
    let long = i64::try_from(number).unwrap_or(i64::MAX);
    i32::try_from(long).map_or(Value::Long(long), Value::Int)
}

/// A moment as a date and time with the offset of UTC, to the second. None outside of the years
/// that XML-RPC can write.
fn utc(moment: SystemTime) -> Option<DateTime> {
    let moment = Offset::UTC.to_datetime(moment.try_into().ok()?);
    let year = u16::try_from(moment.year()).ok()?;
    let small = |number: i8| u8::try_from(number).ok();
    let (month, day) = (small(moment.month())?, small(moment.day())?);
    let (hour, minute, second) =
        (small(moment.hour())?, small(moment.minute())?, small(moment.second())?);
    DateTime::new(year, month, day, hour, minute, second)?.with_offset_minutes(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::lifecycle::status::FileState;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn moments_are_told_in_utc() {
        for (seconds, wanted) in [
            (0, "19700101T00:00:00Z"),
            (951_782_399, "20000228T23:59:59Z"),
            (951_782_400, "20000229T00:00:00Z"),
            (1_767_225_599, "20251231T23:59:59Z"),
            (4_107_542_400, "21000301T00:00:00Z"),
        ] {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(utc(moment).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn what_is_not_known_has_no_member_and_texts_are_clean() {
        let status = PluginStatus {
            name: None,
            version: None,
            description: Some("sums\u{202e}".into()),
            file: "a\u{ffff}.so".into(),
            sha256: None,
            file_sha256: None,
            generation: None,
            state: FileState::Refused,
            methods: vec!["m".into()],
            calls: 5_000_000_000,
            faults: 0,
            last_error: Some("why\u{1b}".into()),
            warnings: vec![],
            reload: None,
            loaded_at: None,
            retry_at: None,
            callers_refused: 0,
            kept_generations: 2,
            kept_bytes: 3,
            kept_file_bytes: 4,
        };
        let value = value_of(&status);
        assert_eq!((value.get("name"), value.get("loaded_at")), (None, None));
        assert_eq!(value.get("calls"), Some(&Value::Long(5_000_000_000)));
        assert_eq!(value.get("state"), Some(&Value::from("refused")));
        assert_eq!(value.get("kept_generations"), Some(&Value::Int(2)));
        assert_eq!(value.get("file"), Some(&Value::from(r"a\u{ffff}.so")));
        assert_eq!(value.get("description"), Some(&Value::from(r"sums\u{202e}")));
        assert_eq!(value.get("last_error"), Some(&Value::from(r"why\u{1b}")));
    }
}
