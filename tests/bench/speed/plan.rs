//! What is measured, on whom, and for how long.

use crate::documents::{self, Exchange};
use crate::load::Way;
use crate::shapes::REQUEST_BYTES;
use std::time::Duration;

/// Rounds of the full form; in each, every workload is put on every peer once.
const ROUNDS: usize = 5;
/// How long one load is measured, in whole seconds, because wrk knows no others.
const POINT_S: u64 = 2;
/// How long it is put on before.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long one decoder is measured in each round.
const DECODE: Duration = Duration::from_secs(2);
/// The short form's.
const SHORT_ROUNDS: usize = 1;
const SHORT_POINT_S: u64 = 1;
const SHORT_WARM_UP: Duration = Duration::from_millis(100);
const SHORT_DECODE: Duration = Duration::from_secs(1);

/// Who calls at a time when each call takes a core.
const HEAVY_CONNECTIONS: usize = 2;
/// Who calls at a time otherwise.
const CONNECTIONS: usize = 16;

/// How thoroughly is measured.
#[derive(Clone, Copy)]
pub struct Form {
    /// Whether the results are for the repository.
    pub is_full: bool,
    /// How often all of it is done.
    pub rounds: usize,
    /// Of one load.
    pub point_s: u64,
    /// Before it.
    pub warm_up: Duration,
    /// Of one decoder.
    pub decode: Duration,
    /// What is measured.
    pub workloads: &'static [Workload],
}

impl Form {
    /// All that is in the results.
    pub const FULL: Self = Self {
        is_full: true,
        rounds: ROUNDS,
        point_s: POINT_S,
        warm_up: WARM_UP,
        decode: DECODE,
        workloads: &WORKLOADS,
    };
    /// To see that all of it works, and the order of the figures.
    pub const SHORT: Self = Self {
        is_full: false,
        rounds: SHORT_ROUNDS,
        point_s: SHORT_POINT_S,
        warm_up: SHORT_WARM_UP,
        decode: SHORT_DECODE,
        workloads: &SHORT_WORKLOADS,
    };
}

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Ours.
    Hotcall {
        /// Whether calls pass tiny_http by.
        is_direct: bool,
    },
    /// Answers one document to everything: what is in reach.
    Nginx,
    /// dxr_server on axum.
    Dxr,
    /// SimpleXMLRPCServer with ThreadingMixIn.
    Python,
    /// xmlrpc-c's.
    Abyss,
    /// npm's xmlrpc.
    Node,
}

/// A server in one of its forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As the tables have it.
    pub name: &'static str,
    /// Whose.
    pub maker: Maker,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

const fn peer(name: &'static str, maker: Maker, is_tls: bool) -> Peer {
    Peer { name, maker, is_tls }
}

pub const HOTCALL_TLS: Peer = peer("Hotcall", Maker::Hotcall { is_direct: true }, true);
pub const HOTCALL_PLAIN: Peer = peer("Hotcall, plain", Maker::Hotcall { is_direct: true }, false);
pub const NGINX_TLS: Peer = peer("nginx", Maker::Nginx, true);
pub const NGINX_PLAIN: Peer = peer("nginx, plain", Maker::Nginx, false);
pub const DXR_TLS: Peer = peer("dxr + axum", Maker::Dxr, true);
pub const DXR_PLAIN: Peer = peer("dxr + axum, plain", Maker::Dxr, false);
pub const PYTHON_TLS: Peer = peer("Python", Maker::Python, true);
pub const ABYSS: Peer = peer("xmlrpc-c Abyss, plain", Maker::Abyss, false);

/// All of them, in the order of the tables: with TLS, then without.
pub const PEERS: [Peer; 11] = [
    HOTCALL_TLS,
    peer("Hotcall, tiny_http lane", Maker::Hotcall { is_direct: false }, true),
    NGINX_TLS,
    DXR_TLS,
    PYTHON_TLS,
    peer("Node xmlrpc", Maker::Node, true),
    HOTCALL_PLAIN,
    NGINX_PLAIN,
    DXR_PLAIN,
    peer("Python, plain", Maker::Python, false),
    ABYSS,
];

/// Those whose latencies are measured.
pub const LATENCY_PEERS: [Peer; 6] =
    [HOTCALL_TLS, NGINX_TLS, DXR_TLS, HOTCALL_PLAIN, NGINX_PLAIN, DXR_PLAIN];

/// Who puts a load on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    /// wrk, over kept connections.
    Wrk,
    /// Ours.
    Own(Way),
}

/// A load.
#[derive(Clone, Copy)]
pub struct Workload {
    /// As the tables have it.
    pub name: &'static str,
    /// What is posted, and the answer.
    pub exchange: fn() -> Exchange,
    /// At a time.
    pub connections: usize,
    /// By whom.
    pub generator: Generator,
    /// How many times as long as others, because connections are made in that time too.
    pub stretch: u64,
}

const fn own(
    name: &'static str,
    exchange: fn() -> Exchange,
    connections: usize,
    way: Way,
) -> Workload {
    Workload { name, exchange, connections, generator: Generator::Own(way), stretch: 1 }
}

const fn kept_add(name: &'static str, connections: usize, stretch: u64) -> Workload {
    Workload { name, exchange: documents::add, connections, generator: Generator::Wrk, stretch }
}

const ADD_1: Workload = kept_add("add, 1 connection", 1, 1);
pub const ADD_16: Workload = kept_add("add, 16 connections", CONNECTIONS, 1);
pub const ADD_256: Workload = kept_add("add, 256 connections", 256, 2);
pub const NEW_FULL: Workload = own("new connection, full", documents::add, CONNECTIONS, Way::Full);

const NEW_RESUMED: Workload =
    own("new connection, resumed", documents::add, CONNECTIONS, Way::Resumed);
const SUM: Workload = own("100,000 ints in", documents::sum, HEAVY_CONNECTIONS, Way::Kept);
/// 1 MiB, as files and pictures are sent.
pub const ECHO: Workload =
    own("1 MiB base64 echo", || documents::echo(1 << 20), HEAVY_CONNECTIONS, Way::Kept);
const MULTICALL: Workload =
    own("1,000 adds in one multicall", documents::multicall, HEAVY_CONNECTIONS, Way::Kept);

/// All of them, in the order of the tables.
const WORKLOADS: [Workload; 13] = [
    ADD_1,
    ADD_16,
    ADD_256,
    NEW_FULL,
    NEW_RESUMED,
    SUM,
    own("10,000 structs out", documents::structs, HEAVY_CONNECTIONS, Way::Kept),
    own("1 KiB base64 echo", || documents::echo(1 << 10), HEAVY_CONNECTIONS, Way::Kept),
    own("64 KiB base64 echo", || documents::echo(64 << 10), HEAVY_CONNECTIONS, Way::Kept),
    ECHO,
    own(
        "base64 echo, requests of 16 MiB",
        || documents::large_echo(REQUEST_BYTES),
        HEAVY_CONNECTIONS,
        Way::Kept,
    ),
    MULTICALL,
    own("a method that blocks 10 ms", documents::block, CONNECTIONS, Way::Kept),
];

/// Those of the short form: one of each kind, and all that something is wanted of.
const SHORT_WORKLOADS: [Workload; 6] = [ADD_16, ADD_256, NEW_FULL, NEW_RESUMED, SUM, ECHO];

impl Workload {
    /// Whether it makes sense on this peer.
    pub fn is_for(&self, peer: &Peer) -> bool {
        match (self.generator, peer.maker) {
            (Generator::Own(Way::Full | Way::Resumed), _) => peer.is_tls,
            (Generator::Own(Way::Kept), Maker::Nginx) => false,
            (Generator::Own(Way::Kept), Maker::Node) => self.name != MULTICALL.name,
            _ => true,
        }
    }
}
