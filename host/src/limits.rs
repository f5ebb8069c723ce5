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
    /// Of them, those from one address.
    pub connections_per_address_max: usize,
    /// A TLS handshake, from the connection's acceptance.
    pub handshake_ms_max: u64,
    /// A request's line and header fields.
    pub header_bytes_max: usize,
    /// From a request's first byte to its last, and for a response to be taken: that has a second more for each 64 KiB.
    pub request_ms_max: u64,
    /// Between two requests of a connection.
    pub idle_ms_max: u64,
    /// A request body.
    pub body_bytes_max: usize,
    /// Bodies of requests and responses of all connections together, with what requests become while
    /// they are inflated and decoded. The first 64 KiB of each body and of each call are free.
    pub bodies_bytes_max: usize,
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
    /// waited for, and the exit is with 1.
    pub drain_ms_max: u64,
    /// A plugin file.
    pub plugin_bytes_max: u64,
    /// Plugin files in the directory.
    pub plugin_files_max: usize,
    /// Exported methods of one plugin.
    pub plugin_methods_max: usize,
    /// Retired generations that stay mapped before the log warns of them. 0: of the first.
    pub generations_kept_max: usize,
    /// Calls of one plugin that panic in a row, within `panics_ms_max`, before no call enters it any more.
    pub panics_max: u32,
    /// How far apart those panics may be, from the first to the last. 0: hardly any are so near.
    pub panics_ms_max: u64,
    /// How long the trial of a new plugin content in a child process may take.
    pub probe_ms_max: u64,
    /// All memory that such a trial maps, code and reserved memory included.
    pub probe_address_space_bytes_max: u64,
    /// How long a plugin file must stay as it is before it is loaded. 0: from one look to the next.
    pub settle_ms: u64,
    /// How long a plugin file must be gone before its methods go. 0: they go at once.
    pub removal_ms: u64,
    /// From one look at the plugins directory to the next when nothing hints at a change.
    pub rescan_ms: u64,
    /// From one look at the files of certificates to the next.
    pub certificate_rescan_ms: u64,
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
            idle_ms_max: 75_000,
            body_bytes_max: 16 << 20,
            bodies_bytes_max: 256 << 20,
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
            plugin_bytes_max: 256 << 20,
            plugin_files_max: 10_000,
            plugin_methods_max: 10_000,
            generations_kept_max: 1_000,
            panics_max: 5,
            panics_ms_max: 60_000,
            probe_ms_max: 5_000,
            probe_address_space_bytes_max: 4 << 30,
            settle_ms: 100,
            removal_ms: 1_000,
            rescan_ms: 1_000,
            certificate_rescan_ms: 1_000,
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
        /// A loader that looks more often does nothing else.
        const RESCAN_MS_MIN: u64 = 10;
        /// Room for XML-RPC's own names, the prefix of an extension included.
        const ELEMENT_NAME_BYTES_MIN: usize = 32;
        /// Room for a prolog's encoding, and for the namespace of Apache's elements.
        const ATTRIBUTE_BYTES_MIN: usize = 64;
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
        let names = ("xml_element_name_bytes_max", self.xml_element_name_bytes_max, ELEMENT_NAME_BYTES_MIN);
        let values = ("xml_attribute_bytes_max", self.xml_attribute_bytes_max, ATTRIBUTE_BYTES_MIN);
        if let Some((key, bytes, min)) = [names, values].into_iter().find(|(_, bytes, min)| bytes < min) {
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
        let rescans = [("rescan_ms", self.rescan_ms), ("certificate_rescan_ms", self.certificate_rescan_ms)];
        if let Some((key, ms)) = rescans.into_iter().find(|(_, ms)| *ms < RESCAN_MS_MIN) {
            return Err(format!("limits.{key} is {ms} and must be at least {RESCAN_MS_MIN}"));
        }
        Ok(())
    }

    /// The keys without which nobody could be served, or no plugin could serve, and whether they leave room for anything. The others
    /// may be 0, which is none of what they count, or no time.
    const fn needed(&self) -> [(&'static str, bool); 19] {
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

    /// `drain_ms_max` as a duration.
    pub const fn drain_max(&self) -> Duration {
        Duration::from_millis(self.drain_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also a key that is new must be thought of.
    #[test]
    fn what_is_needed_may_not_be_0_and_what_is_not_may() {
        const MAY_BE_0: [&str; 9] = [
            "xml_name_bytes_max",
            "xml_attributes_max",
            "multicall_calls_max",
            "stuck_workers_max",
            "drain_ms_max",
            "generations_kept_max",
            "panics_ms_max",
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
