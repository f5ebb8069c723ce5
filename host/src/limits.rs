//! Every limit of the server, in one place: each has a name that ends in its unit, a default, and a
//! key of the same name under `[limits]` in the config file. None is infinite.

use crate::settings::{Values, settings};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Dropping and comparing nested values takes stack for each level.
const DEPTH_MAX: u64 = 1_000;
const PERCENT_MAX: u64 = 100;
/// A loader that looks or tries more often does nothing else.
const WAIT_MS_MIN: u64 = 10;
/// Room for XML-RPC's own names, the prefix of an extension included.
const ELEMENT_NAME_BYTES_MIN: u64 = 32;
/// Room for a prolog's encoding, and for the namespace of Apache's elements.
const ATTRIBUTE_BYTES_MIN: u64 = 64;
/// Room for the longest line of a plugin.
const LOG_QUEUE_BYTES_MIN: u64 = 16_384;

settings! {
    /// The most that the server takes, holds and waits for. With 0 where a limit must be at least
    /// 1, no call could be answered or no plugin could serve; see [`Limits::check`].
    #[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct Limits {
        /// Open connections of clients. Further ones are closed at once.
        connections_max: usize = 10_000;
        /// Of them, those from one address. An IPv6 /64 counts as one address.
        connections_per_address_max: usize = 1_000;
        /// A TLS handshake, from the connection's acceptance.
        handshake_ms_max: u64 = 10_000;
        /// A request's line and header fields.
        header_bytes_max: usize = 16_384;
        /// From a request's first byte to its last. For a response, from one piece that its client
        /// takes to the next.
        request_ms_max: u64 = 30_000;
        /// What a client takes of a response on average, once request_ms_max has passed. 0: any
        /// piece in time will do.
        response_bytes_per_second_min: usize = 65_536 => at_least(0);
        /// Between two requests of a connection.
        idle_ms_max: u64 = 75_000;
        /// A request body, also once it is inflated. A longer one gets 413.
        body_bytes_max: usize = 16_777_216;
        /// Bodies of requests and responses of all connections together, also inflated and decoded,
        /// past the first 64 KiB of each body and of each call.
        bodies_bytes_max: usize = 268_435_456 => at_least(0);
        /// Of that, for one address, with room for at least one of the largest. An IPv6 /64 counts
        /// as one address. Unix sockets have none, so only bodies_bytes_max holds there. 100 behind
        /// a proxy.
        bodies_per_address_percent_max: usize = 25 => range(1, PERCENT_MAX);
        /// Arrays and structs within each other, in requests and results, 1 to 1000.
        xml_depth_max: usize = 128 => range(1, DEPTH_MAX);
        /// Values of all kinds in one request or result.
        xml_values_max: usize = 1_000_000;
        /// One text of a request, base64 too. Does not follow body_bytes_max.
        xml_text_bytes_max: usize = 16_777_216;
        /// The name of a struct's member in a request. 0: only an empty one.
        xml_name_bytes_max: usize = 65_536 => at_least(0);
        /// The name of a method in a request.
        xml_method_bytes_max: usize = 1_024;
        /// The name of an element or attribute in a request, at least 32.
        xml_element_name_bytes_max: usize = 256 => at_least(ELEMENT_NAME_BYTES_MIN);
        /// The value of an attribute in a request, of the prolog's too, at least 64.
        xml_attribute_bytes_max: usize = 4_096 => at_least(ATTRIBUTE_BYTES_MIN);
        /// Attributes of one element in a request, without declarations of namespaces. 0: none.
        ///
        /// XML-RPC has no attributes.
        xml_attributes_max: usize = 64 => at_least(0);
        /// Calls in one `system.multicall`. 0: none.
        multicall_calls_max: usize = 1_000 => at_least(0);
        /// From a request's arrival to the end of its call.
        call_ms_max: u64 = 30_000;
        /// Workers that are replaced while they are stuck in calls past their deadlines. 0: none.
        stuck_workers_max: usize = 64 => at_least(0);
        /// Calls that wait for a worker: of one plugin, or of what belongs to no plugin.
        queue_len_max: usize = 1_024;
        /// The part of a queue that one client may fill, in percent. A client is a user, else an
        /// address (an IPv6 /64 counts as one).
        queue_len_per_client_percent_max: usize = 50 => range(1, PERCENT_MAX);
        /// An encoded response, and the arena of one call.
        response_bytes_max: usize = 67_108_864;
        /// How long calls wait while their plugin is replaced exclusively. Running calls have half
        /// of it to end, or the old version goes on.
        exclusive_ms_max: u64 = 10_000;
        /// From the first signal to the exit, and from a plugin's replacement to its last call's
        /// end. 0: no time, and an exit with 1. A full log pipe adds up to 2 s to the exit.
        drain_ms_max: u64 = 30_000 => at_least(0);
        /// A plugin file.
        plugin_bytes_max: u64 = 268_435_456;
        /// Plugin files in the directory.
        plugin_files_max: usize = 10_000;
        /// Exported methods of one plugin.
        plugin_methods_max: usize = 10_000;
        /// Retired versions that stay mapped before the log warns of them. 0: it warns of the
        /// first.
        generations_kept_max: usize = 1_000 => at_least(0);
        /// Callers whose calls of one plugin panic in a row, within panics_ms_max, before it is out
        /// of service.
        ///
        /// One of them must have been answered before, unless no caller in good standing is known.
        /// If callers are not told apart, it counts calls.
        panics_max: u32 = 5;
        /// How far apart those panics may be, from the first to the last. 0: no time, so that
        /// hardly any panics count as in a row.
        panics_ms_max: u64 = 60_000 => at_least(0);
        /// Calls of one caller that panic in a row before the plugin refuses only that caller. At
        /// most panics_max - 1. 0: callers are not told apart.
        caller_panics_max: u32 = 3 => at_least(0);
        /// How long a plugin is out of service, or a caller is refused, before one call is tried.
        /// It doubles each time that call panics too.
        panic_retry_ms: u64 = 1_000 => at_least(WAIT_MS_MIN);
        /// The longest such wait.
        panic_retry_ms_max: u64 = 300_000 => at_least(0);
        /// The trial of a new plugin content in a child process. Raise it for a plugin that needs
        /// long in `create`.
        probe_ms_max: u64 = 5_000;
        /// All memory that such a trial maps, code and reserved memory included.
        probe_address_space_bytes_max: u64 = 4_294_967_296;
        /// How long a plugin file must stay unchanged before it is loaded. 0: no time. A file that
        /// arrives by a rename, or as a hard link to a file that is older than this, needs no such
        /// time if the server owns it and nobody has it open for writing.
        settle_ms: u64 = 100 => at_least(0);
        /// How long a plugin file waits that could not be read, copied or tried. It doubles each
        /// time.
        plugin_retry_ms: u64 = 1_000 => at_least(WAIT_MS_MIN);
        /// The longest such wait.
        plugin_retry_ms_max: u64 = 300_000 => at_least(0);
        /// How long a plugin file must be gone before its methods go. 0: no time.
        removal_ms: u64 = 1_000 => at_least(0);
        /// Between two looks at the plugins directory when nothing hints at a change.
        rescan_ms: u64 = 1_000 => at_least(WAIT_MS_MIN);
        /// Between two looks at the files of certificates.
        certificate_rescan_ms: u64 = 1_000 => at_least(WAIT_MS_MIN);
        /// Log lines that standard error has not taken yet, at least 16_384. Further ones are
        /// dropped and counted.
        log_queue_bytes_max: usize = 1_048_576 => at_least(LOG_QUEUE_BYTES_MIN);
    }
}

settings! {
    /// What calls of one method may take, where that is less than [`Limits`] allow.
    #[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct MethodLimits {
        /// Calls that run at a time, until their results are written. Further ones get fault -32001
        /// at once.
        ///
        /// At least 1. Default: any number.
        concurrency_max: Option<NonZeroUsize> = None => shown("2");
    }
}

impl Limits {
    /// Whether the server can work within these limits.
    ///
    /// # Errors
    /// The key whose value is out of its range, and the range.
    pub fn check(&self) -> Result<(), String> {
        self.check_ranges("limits.")?;
        for (key, bytes) in [
            ("body_bytes_max", self.body_bytes_max),
            ("response_bytes_max", self.response_bytes_max),
        ] {
            if self.bodies_bytes_max < bytes {
                let all = self.bodies_bytes_max;
                return Err(format!(
                    "limits.bodies_bytes_max is {all} and must be at least {key}, {bytes}"
                ));
            }
        }
        let plugin = ("plugin_retry_ms", self.plugin_retry_ms, self.plugin_retry_ms_max);
        let panic = ("panic_retry_ms", self.panic_retry_ms, self.panic_retry_ms_max);
        if let Some((key, first, longest)) =
            [plugin, panic].into_iter().find(|(_, first, longest)| longest < first)
        {
            return Err(format!(
                "limits.{key}_max is {longest} and must be at least {key}, {first}"
            ));
        }
        Ok(())
    }

    /// `handshake_ms_max` as a duration.
    pub const fn handshake_max(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max)
    }

    /// `request_ms_max` as a duration.
    pub const fn request_max(&self) -> Duration {
        Duration::from_millis(self.request_ms_max)
    }

    /// How much of a refused body is read and discarded, so that its sender reads the response:
    /// four times `body_bytes_max`, and at least a mebibyte. A client that may send that much
    /// anyway gains nothing by it.
    pub const fn discard_bytes_max(&self) -> usize {
        const BYTES_MIN: usize = 1 << 20;
        const BODIES: usize = 4;
        let bytes = self.body_bytes_max.saturating_mul(BODIES);
        if bytes > BYTES_MIN { bytes } else { BYTES_MIN }
    }

    /// What the bodies of one address may take: its percentage, and room for one of the largest.
    pub fn bodies_per_address_bytes_max(&self) -> usize {
        let (bytes, percent) = (self.bodies_bytes_max, self.bodies_per_address_percent_max);
        // Without overflow.
        let share = bytes / 100 * percent + bytes % 100 * percent / 100;
        share.max(self.body_bytes_max).max(self.response_bytes_max)
    }

    /// `idle_ms_max` as a duration.
    pub const fn idle_max(&self) -> Duration {
        Duration::from_millis(self.idle_ms_max)
    }

    /// `call_ms_max` as a duration.
    pub const fn call_max(&self) -> Duration {
        Duration::from_millis(self.call_ms_max)
    }

    /// `probe_ms_max` as a duration.
    pub const fn probe_max(&self) -> Duration {
        Duration::from_millis(self.probe_ms_max)
    }

    /// `certificate_rescan_ms` as a duration.
    pub const fn certificate_rescan(&self) -> Duration {
        Duration::from_millis(self.certificate_rescan_ms)
    }

    /// `exclusive_ms_max` as a duration.
    pub const fn exclusive_max(&self) -> Duration {
        Duration::from_millis(self.exclusive_ms_max)
    }

    /// `drain_ms_max` as a duration.
    pub const fn drain_max(&self) -> Duration {
        Duration::from_millis(self.drain_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Section;

    #[test]
    fn an_address_has_its_percentage_and_room_for_the_largest_body() {
        let share = |limits: Limits| limits.bodies_per_address_bytes_max();
        assert_eq!(share(Limits::default()), 64 << 20);
        let small =
            Limits { body_bytes_max: 1 << 20, response_bytes_max: 2 << 20, ..Limits::default() };
        assert_eq!(share(Limits { bodies_bytes_max: 10_000_000, ..small.clone() }), 2_500_000);
        assert_eq!(share(Limits { bodies_bytes_max: 2 << 20, ..small.clone() }), 2 << 20);
        assert_eq!(
            share(Limits { bodies_per_address_percent_max: 100, ..small.clone() }),
            256 << 20
        );
        let why = Limits { bodies_per_address_percent_max: 101, ..small }.check().unwrap_err();
        assert_eq!(why, "limits.bodies_per_address_percent_max is 101 and may be 1 to 100");
    }

    #[test]
    fn a_limit_may_be_0_where_its_declaration_says_so() {
        // Checked against other limits.
        const FOLLOW: [&str; 3] = ["bodies_bytes_max", "plugin_retry_ms_max", "panic_retry_ms_max"];
        let defaults = toml::Table::try_from(Limits::default()).unwrap();
        assert_eq!(defaults.len(), Limits::SETTINGS.len());
        for setting in Limits::SETTINGS {
            let mut table = defaults.clone();
            table.insert(setting.key.into(), 0.into());
            let checked = table.try_into::<Limits>().unwrap().check();
            if setting.least == 0 && !FOLLOW.contains(&setting.key) {
                assert_eq!(checked, Ok(()));
            } else {
                let why = checked.unwrap_err();
                assert!(why.starts_with(&format!("limits.{} is 0 and m", setting.key)), "{why}");
            }
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_refused_with_the_range() {
        let why = |limits: Limits| limits.check().unwrap_err();
        let limits = Limits::default;
        assert_eq!(
            why(Limits { queue_len_max: 0, ..limits() }),
            "limits.queue_len_max is 0 and must be at least 1"
        );
        assert_eq!(
            why(Limits { xml_depth_max: 1_001, ..limits() }),
            "limits.xml_depth_max is 1001 and may be 1 to 1000"
        );
        assert_eq!(
            why(Limits { xml_attribute_bytes_max: 63, ..limits() }),
            "limits.xml_attribute_bytes_max is 63 and must be at least 64"
        );
        assert_eq!(
            why(Limits { panic_retry_ms: 9, ..limits() }),
            "limits.panic_retry_ms is 9 and must be at least 10"
        );
        assert_eq!(
            why(Limits { bodies_bytes_max: 7, body_bytes_max: 8, ..limits() }),
            "limits.bodies_bytes_max is 7 and must be at least body_bytes_max, 8"
        );
        assert_eq!(
            why(Limits { plugin_retry_ms_max: 999, ..limits() }),
            "limits.plugin_retry_ms_max is 999 and must be at least plugin_retry_ms, 1000"
        );
    }
}
