//! RESULTS.md: its prose is the template's, and all its figures are put in here, so that neither is
//! out of step.

use crate::claims::{Claim, Results, Verdict};
use crate::costs;
use crate::latency::PERCENTILES;
use crate::plan::{
    Generator, HOTCALL_PLAIN, HOTCALL_TLS, LATENCY_PEERS, NGINX_PLAIN, NGINX_TLS, PEERS, Peer,
    Workload,
};
use crate::rounds::{Figures, Measured};
use crate::tables::{cells, line, median, spread};

const TEMPLATE: &str = include_str!("template.md");

/// The whole text.
pub fn text(results: &Results) -> String {
    let parts = [
        ("{claims}", claims(&results.claims())),
        ("{rates}", rates(results)),
        ("{latencies}", latencies(results)),
        ("{clients}", results.clients.table()),
        ("{decoders}", decoders(results)),
        ("{idle}", costs::idle(&results.memory)),
        ("{memory}", costs::memory(&results.memory)),
        ("{profile}", costs::profile(&results.inside)),
        ("{calls}", costs::calls(&results.inside)),
        ("{allocations}", costs::allocations(results.allocations.as_ref())),
        ("{machine}", results.machine.rows()),
    ];
    parts
        .iter()
        .fold(TEMPLATE.to_owned(), |text, (place, part)| text.replace(place, part.trim_end()))
}

/// The table of claims.
pub fn claims(claims: &[Claim]) -> String {
    let mut rows =
        String::from("| what | wanted | measured | least to most | |\n|---|---|---|---|---|\n");
    for claim in claims {
        let verdict = match &claim.verdict {
            Verdict::Reached => "reached".to_owned(),
            Verdict::Missed => "**not reached**".to_owned(),
            Verdict::Void(why) => format!("**void**: {why}"),
        };
        let (got, spread) = (median(&claim.got), spread(&claim.got));
        line(
            &mut rows,
            format_args!("| {} | {} | {got} | {spread} | {verdict} |", claim.what, claim.wanted),
        );
    }
    rows
}

fn rates(results: &Results) -> String {
    let mut text = String::new();
    for workload in results.workloads {
        line(&mut text, format_args!("### {}\n", workload.name));
        let mut columns =
            vec!["", "calls/s", "least to most", "of nginx's", "Hotcall's, as a multiple"];
        if workload.generator == Generator::Wrk {
            columns.extend(["µs of processor time", "least to most"]);
        }
        line(
            &mut text,
            format_args!("| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())),
        );
        for peer in &PEERS {
            if let Some(figures) = results.measured.of(workload, peer) {
                let cells = rate(&results.measured, figures, workload, peer);
                line(&mut text, format_args!("| {} | {} |", peer.name, cells.join(" | ")));
            }
        }
        text.push('\n');
    }
    text
}

fn rate(measured: &Measured, figures: &Figures, workload: &Workload, peer: &Peer) -> Vec<String> {
    let (limit, ours) =
        if peer.is_tls { (NGINX_TLS, HOTCALL_TLS) } else { (NGINX_PLAIN, HOTCALL_PLAIN) };
    let rates =
        |peer: &Peer| measured.of(workload, peer).map(|of| of.rates.clone()).unwrap_or_default();
    let ratio = |one: &Peer, other: &Peer| {
        if one == other { String::new() } else { median(&rates(one).ratios_to(&rates(other))) }
    };
    let mut cells = cells(&figures.rates).to_vec();
    cells.extend([ratio(peer, &limit), ratio(&ours, peer)]);
    if workload.generator == Generator::Wrk {
        let processor = &figures.processor_us;
        cells.extend([median(processor), spread(processor)]);
    }
    cells
}

fn latencies(results: &Results) -> String {
    let names = PERCENTILES.map(|(name, _)| format!("{name} | least to most")).join(" | ");
    let mut rows =
        format!("| | calls/s | {names} |\n|---|---|{}\n", "---|---|".repeat(PERCENTILES.len()));
    for peer in &LATENCY_PEERS {
        if let Some(latencies) = results.measured.latencies_of(peer) {
            let cells =
                latencies.percentiles.iter().flat_map(cells).collect::<Vec<_>>().join(" | ");
            let rate = median(&latencies.rates);
            line(&mut rows, format_args!("| {} | {rate} | {cells} |", peer.name));
        }
    }
    rows
}

fn decoders(results: &Results) -> String {
    let decoders = &results.decoders;
    let mut rows = String::from(
        "| | ns for each int | least to most | Hotcall's, as a multiple |\n|---|---|---|---|\n",
    );
    for (name, samples) in
        [("Hotcall", &decoders.hotcall), ("dxr", &decoders.dxr), ("Python", &decoders.python)]
    {
        let multiple = if name == "Hotcall" {
            String::new()
        } else {
            median(&samples.ratios_to(&decoders.hotcall))
        };
        line(&mut rows, format_args!("| {name} | {} | {multiple} |", cells(samples).join(" | ")));
    }
    let dispatch = &results.dispatch_ns;
    let (median, spread) = (median(dispatch), spread(dispatch));
    line(
        &mut rows,
        format_args!(
            "\nDispatch of `add`: {median} ns, from {spread} ns in {} batches.",
            dispatch.count()
        ),
    );
    rows
}
