//! Hotcall's end-to-end tests. `cargo test -p hotcall-tests -- NAME` runs those whose name holds
//! NAME.

mod access;
mod calls;
mod cli;
mod client;
mod client_certificates;
mod content;
mod control;
mod corpus;
mod deadlines;
mod decoding;
mod defects;
mod deploy;
mod encoding;
mod exclusive;
mod foreign;
mod gate;
mod hostile;
mod http;
mod killed;
mod lanes;
mod large;
mod liar;
mod log;
mod memory;
mod neighbours;
mod new;
mod panics;
mod permits;
mod privileges;
mod readers;
mod readme;
mod reload;
mod serving;
mod sessions;
mod supply;
mod tls;
mod trial;
mod trust;
mod watching;

use libtest_mimic::Arguments;

/// Tests at once where the command line does not say.
const THREADS: usize = 6;

fn main() {
    let mut arguments = Arguments::from_args();
    // They mostly wait for servers.
    arguments.test_threads.get_or_insert(THREADS);
    let groups = [
        access::trials(),
        calls::trials(),
        cli::trials(),
        client::trials(),
        client_certificates::trials(),
        content::trials(),
        control::trials(),
        corpus::trials(),
        deadlines::trials(),
        decoding::trials(),
        defects::trials(),
        deploy::trials(),
        encoding::trials(),
        exclusive::trials(),
        foreign::trials(),
        gate::trials(),
        hostile::trials(),
        http::trials(),
        killed::trials(),
        lanes::trials(),
        large::trials(),
        log::trials(),
        memory::trials(),
        neighbours::trials(),
        new::trials(),
        panics::trials(),
        permits::trials(),
        privileges::trials(),
        readers::trials(),
        readme::trials(),
        reload::trials(),
        serving::trials(),
        sessions::trials(),
        supply::trials(),
        tls::trials(),
        trust::trials(),
        watching::trials(),
    ];
    libtest_mimic::run(&arguments, groups.into_iter().flatten().collect()).exit();
}
