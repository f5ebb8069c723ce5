//! RESULTS.md: its prose is the template's, and its tables are made here, so that neither is out of step.

use crate::claims::Results;
use crate::plan::{HOTCALL_PLAIN, HOTCALL_TLS, NGINX_PLAIN, NGINX_TLS, PEERS, Peer, Workload};
use crate::rounds::Rates;
use crate::samples::Samples;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("template.md");

/// The whole text.
pub fn text(results: &Results) -> String {
    let parts = [
        ("{claims}", claims(results)),
        ("{rates}", rates(results)),
        ("{decoders}", decoders(results)),
        ("{memory}", memory(results)),
        ("{machine}", results.machine.rows()),
    ];
    parts.iter().fold(TEMPLATE.to_owned(), |text, (place, part)| text.replace(place, part.trim_end()))
}

/// With digits in groups, and no more of them than mean something.
pub fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.*}", if value < 10.0 { 2 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn claims(results: &Results) -> String {
    let mut rows = String::from("| what | wanted | measured | |\n|---|---|---|---|\n");
    for claim in results.claims() {
        let got = claim.got.map_or_else(|| "void".to_owned(), number);
        let verdict = if claim.is_reached { "reached" } else { "**not reached**" };
        line(&mut rows, format_args!("| {} | {} | {got} | {verdict} |", claim.what, claim.wanted));
    }
    rows
}

fn rates(results: &Results) -> String {
    let rates = &results.rates;
    let mut text = String::new();
    for workload in results.workloads {
        line(&mut text, format_args!("### {}\n", workload.name));
        text.push_str(
            "| | calls/s | least to most | of nginx's | Hotcall's, as a multiple |\n|---|---|---|---|---|\n",
        );
        for peer in PEERS.iter().filter(|peer| rates.of(workload, peer).is_some()) {
            text.push_str(&rate(rates, workload, peer));
        }
        text.push('\n');
    }
    text
}

fn rate(rates: &Rates, workload: &Workload, peer: &Peer) -> String {
    let median = |peer: &Peer| rates.of(workload, peer).and_then(Samples::median);
    let (limit, ours) = if peer.is_tls { (NGINX_TLS, HOTCALL_TLS) } else { (NGINX_PLAIN, HOTCALL_PLAIN) };
    let ratio = |dividend: Option<f64>, divisor: Option<f64>| match (dividend, divisor) {
        (Some(dividend), Some(divisor)) => number(dividend / divisor),
        _ => String::new(),
    };
    let of_limit = if *peer == limit { String::new() } else { ratio(median(peer), median(&limit)) };
    let multiple = if *peer == ours { String::new() } else { ratio(median(&ours), median(peer)) };
    let cells = rates.of(workload, peer).map(cells).unwrap_or_default();
    format!("| {} | {cells} | {of_limit} | {multiple} |\n", peer.name)
}

/// Median and spread, and what is void.
fn cells(samples: &Samples) -> String {
    let (void, all) = samples.void();
    let void = match void.first() {
        Some(why) => format!(" ({} of {all} void: {why})", void.len()),
        None => String::new(),
    };
    match (samples.median(), samples.spread()) {
        (Some(median), Some((least, most))) => {
            format!("{} | {} to {}{void}", number(median), number(least), number(most))
        }
        _ => format!("void |{void}"),
    }
}

fn decoders(results: &Results) -> String {
    let decoders = &results.decoders;
    let mut rows =
        String::from("| | ns for each int | least to most | Hotcall's, as a multiple |\n|---|---|---|---|\n");
    let ours = decoders.hotcall.median();
    for (name, samples) in
        [("Hotcall", &decoders.hotcall), ("dxr", &decoders.dxr), ("Python", &decoders.python)]
    {
        let multiple = match (samples.median(), ours) {
            (Some(theirs), Some(ours)) if name != "Hotcall" => number(theirs / ours),
            _ => String::new(),
        };
        line(&mut rows, format_args!("| {name} | {} | {multiple} |", cells(samples)));
    }
    line(
        &mut rows,
        format_args!("\nDispatch of `add`: {} ns.", cells(&results.dispatch_ns).replace(" | ", " ns, from ")),
    );
    rows
}

fn memory(results: &Results) -> String {
    let memory = &results.memory;
    let mut rows = String::from("| | |\n|---|---|\n");
    let [fresh, used] = memory.connection_kb;
    for (what, value) in [
        (
            "resident with the bundled plugins, idle",
            format!(
                "{:.1} MB, of which no file backs {:.1} MB",
                memory.idle.resident_mb, memory.idle.anonymous_mb
            ),
        ),
        (
            "an idle connection with TLS, of 5,000",
            format!("{fresh:.1} kB before its first call, {used:.1} kB after it"),
        ),
        (
            "peak for a text of 16 MiB whose length is answered",
            format!("{:.2} times the request", memory.request_peak),
        ),
        (
            "peak for 16 MiB in base64 that are echoed",
            format!("{:.2} times the request; the answer is as large", memory.echo_peak),
        ),
    ] {
        line(&mut rows, format_args!("| {what} | {value} |"));
    }
    rows
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes it");
}
