//! Every limit of the server, in one place: each has a name that ends in its unit, a default, and a key of the
//! same name under `[limits]` in the config file. None is infinite.

use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::time::Duration;

/// What the server takes, holds and waits for at most. Where 0 is none of something, it may be 0; see [`Limits::check`].
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections of clients. Further ones are closed at once.
    pub connections_max: usize,
    /// Of them, those from one address. An IPv6 /64 counts as one address.
    pub connections_per_address_max: usize,
    /// A TLS handshake, from the connection's acceptance.
    pub handshake_ms_max: u64,
    /// A request's line and header fields.
    pub header_bytes_max: usize,
    /// From a request's first byte to its last; and for a response, from one piece that its client takes to the next.
    pub request_ms_max: u64,
    /// What a client takes of a response per second, on average, once `request_ms_max` has passed. 0: any piece in time will do.
    pub response_bytes_per_second_min: usize,
    /// Between two requests of a connection.
    pub idle_ms_max: u64,
    /// A request body.
    pub body_bytes_max: usize,
    /// Bodies of requests and responses of all connections together, with what requests become while
    /// they are inflated and decoded. The first 64 KiB of each body and of each call are free.
    pub bodies_bytes_max: usize,
    /// Of them, those of one address, in percent; in any case one of the largest. An IPv6 /64 counts as one address, and Unix sockets
    /// have none, so only `bodies_bytes_max` holds there.
    pub bodies_per_address_percent_max: usize,
    /// Arrays and structs within each other, in requests and results.
    pub xml_depth_max: usize,
    /// Values of all kinds in one request or result.
    pub xml_values_max: usize,
    /// One text in a request: a string, or a base64 text.
    pub xml_text_bytes_max: usize,
    /// The name of a struct's member in a request. 0: only an empty one.
    pub xml_name_bytes_max: usize,
    /// The name of a method in a request.
    pub xml_method_bytes_max: usize,
    /// The name of an element or of an attribute in a request.
    pub xml_element_name_bytes_max: usize,
    /// The value of an attribute in a request, of the prolog's too.
    pub xml_attribute_bytes_max: usize,
    /// Attributes of one element in a request. XML-RPC has none, so it may be 0; declarations of namespaces do not count.
    pub xml_attributes_max: usize,
    /// Calls in one `system.multicall`. 0: none.
    pub multicall_calls_max: usize,
    /// From a request's arrival to the end of its call.
    pub call_ms_max: u64,
    /// Workers that are replaced while they are stuck in calls past their deadlines. 0: none.
    pub stuck_workers_max: usize,
    /// Requests that wait for a worker.
    pub queue_len_max: usize,
    /// An encoded response, and the arena of one call.
    pub response_bytes_max: usize,
    /// From the first signal to the exit, and from a plugin's replacement to its last call's end. 0: nothing is
    /// waited for, and the exit is with 1. A log whose reader takes nothing delays the exit by up to 2 s more.
    pub drain_ms_max: u64,
    /// How long calls of a plugin wait while it is replaced exclusively. The calls that run have half of it to end, or the
    /// old version goes on.
    pub exclusive_ms_max: u64,
    /// A plugin file.
    pub plugin_bytes_max: u64,
    /// Plugin files in the directory.
    pub plugin_files_max: usize,
    /// Exported methods of one plugin.
    pub plugin_methods_max: usize,
    /// Retired generations that stay mapped before the log warns of them. 0: of the first.
    pub generations_kept_max: usize,
    /// Callers whose calls of one plugin panic in a row, within `panics_ms_max`, before it is out
    /// of service. One of them must have been answered before, unless no caller in good standing
    /// is known. If callers are not told apart, it counts calls.
    pub panics_max: u32,
    /// How far apart those panics may be, from the first to the last. 0: hardly any are so near.
    pub panics_ms_max: u64,
    /// Calls of one caller that panic in a row before the plugin refuses that caller. At most
    /// `panics_max` - 1. 0: callers are not told apart.
    pub caller_panics_max: u32,
    /// How long a plugin is out of service, or a caller is refused, before one call is let in. It
    /// doubles each time that call panics too.
    pub panic_retry_ms: u64,
    /// The longest such wait.
    pub panic_retry_ms_max: u64,
    /// How long the trial of a new plugin content in a child process may take.
    pub probe_ms_max: u64,
    /// All memory that such a trial maps, code and reserved memory included.
    pub probe_address_space_bytes_max: u64,
    /// How long a plugin file must stay as it is before it is loaded. 0: from one look to the next.
    pub settle_ms: u64,
    /// How long the loader waits before it retries a plugin file that it could not read, copy or
    /// probe. It doubles each time.
    pub plugin_retry_ms: u64,
    /// The longest such wait.
    pub plugin_retry_ms_max: u64,
    /// How long a plugin file must be gone before its methods go. 0: they go at once.
    pub removal_ms: u64,
    /// From one look at the plugins directory to the next when nothing hints at a change.
    pub rescan_ms: u64,
    /// From one look at the files of certificates to the next.
    pub certificate_rescan_ms: u64,
    /// Log lines that standard error has not taken yet. Further ones are dropped, and counted.
    pub log_queue_bytes_max: usize,
}

/// What calls of one method may take, where that is less than [`Limits`] allow.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct MethodLimits {
    /// Calls that run at a time; at least 1. Further ones are answered with fault -32001 at once. Default: any number.
    pub concurrency_max: Option<NonZeroUsize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            handshake_ms_max: 10_000,
            header_bytes_max: 16_384,
            request_ms_max: 30_000,
            response_bytes_per_second_min: 64 << 10,
            idle_ms_max: 75_000,
            body_bytes_max: 16 << 20,
            bodies_bytes_max: 256 << 20,
            bodies_per_address_percent_max: 25,
            xml_depth_max: 128,
            xml_values_max: 1_000_000,
            xml_text_bytes_max: 16 << 20,
            xml_name_bytes_max: 65_536,
            xml_method_bytes_max: 1_024,
            xml_element_name_bytes_max: 256,
            xml_attribute_bytes_max: 4_096,
            xml_attributes_max: 64,
            multicall_calls_max: 1_000,
            call_ms_max: 30_000,
            stuck_workers_max: 64,
            queue_len_max: 1_024,
            response_bytes_max: 64 << 20,
            drain_ms_max: 30_000,
            exclusive_ms_max: 10_000,
            plugin_bytes_max: 256 << 20,
            plugin_files_max: 10_000,
            plugin_methods_max: 10_000,
            generations_kept_max: 1_000,
            panics_max: 5,
            panics_ms_max: 60_000,
            caller_panics_max: 3,
            panic_retry_ms: 1_000,
            panic_retry_ms_max: 300_000,
            probe_ms_max: 5_000,
            probe_address_space_bytes_max: 4 << 30,
            settle_ms: 100,
            plugin_retry_ms: 1_000,
            plugin_retry_ms_max: 300_000,
            removal_ms: 1_000,
            rescan_ms: 1_000,
            certificate_rescan_ms: 1_000,
            log_queue_bytes_max: 1 << 20,
        }
    }
}

impl Limits {
    /// Whether the server can work within these limits.
    ///
    /// # Errors
    /// The key whose value is out of its range, and the range.
    pub fn check(&self) -> Result<(), String> {
        /// Dropping and comparing nested values takes stack for each level.
        const DEPTH_MAX: usize = 1_000;
        const PERCENT_MAX: usize = 100;
        /// A loader that looks or tries more often does nothing else.
        const WAIT_MS_MIN: u64 = 10;
        /// Room for XML-RPC's own names, the prefix of an extension included.
        const ELEMENT_NAME_BYTES_MIN: usize = 32;
        /// Room for a prolog's encoding, and for the namespace of Apache's elements.
        const ATTRIBUTE_BYTES_MIN: usize = 64;
        /// Room for the longest line of a plugin.
        const LOG_QUEUE_BYTES_MIN: usize = 16 << 10;
        if let Some((key, _)) = self.needed().into_iter().find(|(_, is_there)| !is_there) {
            return Err(format!(
                "limits.{key} is 0 and must be at least 1: with 0 no call could be answered"
            ));
        }
        if !(1..=DEPTH_MAX).contains(&self.xml_depth_max) {
            return Err(format!(
                "limits.xml_depth_max is {} and may be 1 to {DEPTH_MAX}",
                self.xml_depth_max
            ));
        }
        if !(1..=PERCENT_MAX).contains(&self.bodies_per_address_percent_max) {
            return Err(format!(
                "limits.bodies_per_address_percent_max is {} and may be 1 to {PERCENT_MAX}",
                self.bodies_per_address_percent_max
            ));
        }
        let names = ("xml_element_name_bytes_max", self.xml_element_name_bytes_max, ELEMENT_NAME_BYTES_MIN);
        let values = ("xml_attribute_bytes_max", self.xml_attribute_bytes_max, ATTRIBUTE_BYTES_MIN);
        let log = ("log_queue_bytes_max", self.log_queue_bytes_max, LOG_QUEUE_BYTES_MIN);
        if let Some((key, bytes, min)) = [names, values, log].into_iter().find(|(_, bytes, min)| bytes < min)
        {
            return Err(format!("limits.{key} is {bytes} and must be at least {min}"));
        }
        for (key, bytes) in
            [("body_bytes_max", self.body_bytes_max), ("response_bytes_max", self.response_bytes_max)]
        {
            if self.bodies_bytes_max < bytes {
                let all = self.bodies_bytes_max;
                return Err(format!("limits.bodies_bytes_max is {all} and must be at least {key}, {bytes}"));
            }
        }
        let waits = [
            ("rescan_ms", self.rescan_ms),
            ("certificate_rescan_ms", self.certificate_rescan_ms),
            ("plugin_retry_ms", self.plugin_retry_ms),
            ("panic_retry_ms", self.panic_retry_ms),
        ];
        if let Some((key, ms)) = waits.into_iter().find(|(_, ms)| *ms < WAIT_MS_MIN) {
            return Err(format!("limits.{key} is {ms} and must be at least {WAIT_MS_MIN}"));
        }
        let plugin = ("plugin_retry_ms", self.plugin_retry_ms, self.plugin_retry_ms_max);
        let panic = ("panic_retry_ms", self.panic_retry_ms, self.panic_retry_ms_max);
        if let Some((key, first, longest)) =
            [plugin, panic].into_iter().find(|(_, first, longest)| longest < first)
        {
            return Err(format!("limits.{key}_max is {longest} and must be at least {key}, {first}"));
        }
        Ok(())
    }

    /// The keys without which nobody could be served, or no plugin could serve, and whether they leave room for anything. The others
    /// may be 0, which is none of what they count, or no time.
    const fn needed(&self) -> [(&'static str, bool); 20] {
        [
            ("connections_max", self.connections_max > 0),
            ("connections_per_address_max", self.connections_per_address_max > 0),
            ("handshake_ms_max", self.handshake_ms_max > 0),
            ("header_bytes_max", self.header_bytes_max > 0),
            ("request_ms_max", self.request_ms_max > 0),
            ("idle_ms_max", self.idle_ms_max > 0),
            ("body_bytes_max", self.body_bytes_max > 0),
            ("xml_values_max", self.xml_values_max > 0),
            ("xml_text_bytes_max", self.xml_text_bytes_max > 0),
            ("xml_method_bytes_max", self.xml_method_bytes_max > 0),
            ("call_ms_max", self.call_ms_max > 0),
            ("queue_len_max", self.queue_len_max > 0),
            ("response_bytes_max", self.response_bytes_max > 0),
            ("exclusive_ms_max", self.exclusive_ms_max > 0),
            ("plugin_bytes_max", self.plugin_bytes_max > 0),
            ("plugin_files_max", self.plugin_files_max > 0),
            ("plugin_methods_max", self.plugin_methods_max > 0),
            ("panics_max", self.panics_max > 0),
            ("probe_ms_max", self.probe_ms_max > 0),
            ("probe_address_space_bytes_max", self.probe_address_space_bytes_max > 0),
        ]
    }

    /// `handshake_ms_max` as a duration.
    pub const fn handshake_max(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max)
    }

    /// `request_ms_max` as a duration.
    pub const fn request_max(&self) -> Duration {
        Duration::from_millis(self.request_ms_max)
    }

    /// What is read of a body that is not taken, and thrown away, so that its sender hears why: four times what a body may
    /// have, and no less than a mebibyte. It follows `body_bytes_max`, because a client that may send so much anyhow gains nothing by it.
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

    #[test]
    fn an_address_has_its_percentage_and_room_for_the_largest_body() {
        let share = |limits: Limits| limits.bodies_per_address_bytes_max();
        assert_eq!(share(Limits::default()), 64 << 20);
        let small = Limits { body_bytes_max: 1 << 20, response_bytes_max: 2 << 20, ..Limits::default() };
        assert_eq!(share(Limits { bodies_bytes_max: 10_000_000, ..small.clone() }), 2_500_000);
        assert_eq!(share(Limits { bodies_bytes_max: 2 << 20, ..small.clone() }), 2 << 20);
        assert_eq!(share(Limits { bodies_per_address_percent_max: 100, ..small.clone() }), 256 << 20);
        let why = Limits { bodies_per_address_percent_max: 101, ..small }.check().unwrap_err();
        assert_eq!(why, "limits.bodies_per_address_percent_max is 101 and may be 1 to 100");
    }

    /// Also a key that is new must be thought of.
    #[test]
    fn what_is_needed_may_not_be_0_and_what_is_not_may() {
        const MAY_BE_0: [&str; 11] = [
            "response_bytes_per_second_min",
            "xml_name_bytes_max",
            "xml_attributes_max",
            "multicall_calls_max",
            "stuck_workers_max",
            "drain_ms_max",
            "generations_kept_max",
            "panics_ms_max",
            "caller_panics_max",
            "settle_ms",
            "removal_ms",
        ];
        let defaults = toml::Table::try_from(Limits::default()).unwrap();
        for key in defaults.keys() {
            let mut table = defaults.clone();
            table.insert(key.clone(), 0.into());
            let checked = table.try_into::<Limits>().unwrap().check();
            if MAY_BE_0.contains(&key.as_str()) {
                assert_eq!(checked, Ok(()));
            } else {
                let why = checked.unwrap_err();
                assert!(why.starts_with(&format!("limits.{key} is 0 and m")), "{why}");
            }
        }
    }
}
