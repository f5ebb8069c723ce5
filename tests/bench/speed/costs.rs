//! What is in the results of memory, system calls, processor time and allocations.

use crate::allocations::PerCall;
use crate::inside::{CALLS, Inside};
use crate::memory::{IDLE, Memory, SETTLE, TURNS};
use crate::tables::{line, number};

/// Where the memory of a server that does nothing is.
pub fn idle(memory: &Memory) -> String {
    let idle = &memory.idle;
    let s_server = match &memory.s_server_mb {
        Ok(mb) => format!("`openssl s_server`, which does nothing else, has {mb:.1} MB here."),
        Err(why) => format!("`openssl s_server` was not measured: {why}."),
    };
    format!(
        "Of {:.1} MB, {:.1} are of the program's file, {:.1} of libcrypto's, {:.1} of other \
         libraries', and {:.1} of the plugins'; no file backs {:.1}. {s_server}",
        idle.all, idle.program, idle.libcrypto, idle.libraries, idle.plugins, idle.anonymous
    )
}

/// The tables of memory.
pub fn memory(memory: &Memory) -> String {
    let mut rows = String::from("| | |\n|---|---|\n");
    let [fresh, used] = memory.connection_kb;
    let idle = &memory.idle;
    line(
        &mut rows,
        format_args!(
            "| resident with the bundled plugins, idle after a call \
             | {:.1} MB, of which no file backs {:.1} MB |",
            idle.all, idle.anonymous
        ),
    );
    line(
        &mut rows,
        format_args!(
            "| an idle connection with TLS, of {} \
             | {fresh:.1} kB before its first call, {used:.1} kB after it |",
            number(IDLE as f64)
        ),
    );
    let [before, after] = memory.around_all_mb;
    let settle = SETTLE.as_secs();
    line(
        &mut rows,
        format_args!(
            "| resident before all requests of the next table, {TURNS} times over, \
             and {settle} s after them | {before:.1} MB, {after:.1} MB |"
        ),
    );
    rows.push_str("\n| the request | its size | peak, as a multiple of that |\n|---|---|---|\n");
    for peak in &memory.peaks {
        line(
            &mut rows,
            format_args!("| {} | {:.1} MB | {:.2} |", peak.what, peak.request_mb, peak.times),
        );
    }
    rows
}

/// Where the processor time goes.
pub fn profile(inside: &Inside) -> String {
    match &inside.profile {
        Ok(shares) => {
            let shares: Vec<_> =
                shares.iter().map(|(owner, share)| format!("{owner} {share:.0} %")).collect();
            format!(
                "Of Hotcall's processor time for `add` over 16 connections with TLS, by perf's \
                 samples: {}.",
                shares.join(", ")
            )
        }
        Err(why) => format!("Where the processor time goes was not seen: {why}."),
    }
}

/// The table of system calls.
pub fn calls(inside: &Inside) -> String {
    let columns = match &inside.calls {
        Ok(columns) => columns,
        Err(why) => return format!("They were not counted: {why}."),
    };
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut rows = format!(
        "| for each answer | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (at, (call, purpose)) in CALLS.into_iter().chain([("any other", "")]).enumerate() {
        // Connections do not take exactly as much in both runs, so a little less than nothing may
        // be left. Adding 0 makes -0 a 0.
        let rounded = |counts: &Vec<f64>| {
            counts.get(at).map_or(0.0, |count| (count * 100.0).round() / 100.0 + 0.0)
        };
        let counts: Vec<_> = columns.iter().map(|(_, counts)| rounded(counts)).collect();
        if counts.iter().any(|count| *count != 0.0) {
            let cells: Vec<_> = counts.iter().map(|count| format!("{count:.2}")).collect();
            line(&mut rows, format_args!("| {call}{purpose} | {} |", cells.join(" | ")));
        }
    }
    rows
}

/// What a call takes of the allocator.
pub fn allocations(counted: Result<&PerCall, &String>) -> String {
    match counted {
        Ok(PerCall { count, bytes }) => {
            format!("{count:.2} allocations of {bytes:.0} bytes together")
        }
        Err(why) => format!("an unknown number of allocations, because {why}"),
    }
}
