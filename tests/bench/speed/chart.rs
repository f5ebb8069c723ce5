//! The chart: bars of calls per second, each with its spread.

use crate::plan::{ADD_16, ADD_256, NEW_FULL, PEERS, Peer, Workload};
use crate::rounds::Measured;
use crate::tables::number;
use std::fmt::Write;

const WIDTH: f64 = 820.0;
const LABELS: f64 = 190.0;
/// Room for the figures beside the longest bar.
const FIGURES: f64 = 80.0;
const BAR: f64 = 16.0;
const ROW: f64 = 22.0;
const TITLE: f64 = 40.0;

/// Groups of bars: a workload, and whether its peers speak TLS.
const GROUPS: [(&str, Workload, bool); 4] = [
    ("add over TLS, 16 kept connections", ADD_16, true),
    ("add over TLS, 256 kept connections", ADD_256, true),
    ("add over plain HTTP, 16 kept connections", ADD_16, false),
    ("add, a new TLS connection with a full handshake for each call", NEW_FULL, true),
];

/// The whole picture as SVG.
pub fn draw(measured: &Measured) -> String {
    let (mut body, mut y) = (String::new(), 0.0);
    for (title, workload, is_tls) in GROUPS {
        let bars: Vec<_> = PEERS
            .iter()
            .filter(|peer| peer.is_tls == is_tls)
            .filter_map(|peer| bar_of(measured, &workload, peer))
            .collect();
        write!(
            body,
            "<text x='0' y='{:.0}' class='title'>{title}: calls/s</text>",
            y + TITLE - 14.0
        )
        .expect("a string takes it");
        y += TITLE;
        let most = bars.iter().map(|bar| bar.most).fold(1.0, f64::max);
        for bar in &bars {
            body.push_str(&bar.draw(y, (WIDTH - LABELS - FIGURES) / most));
            y += ROW;
        }
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' \
         width='{WIDTH}' height='{height}'>\
         <style>text{{font:13px sans-serif;fill:#222}}.title{{font-weight:bold}}\
         .spread{{stroke:#222}}.ours{{fill:#c2410c}}.limit{{fill:#9ca3af}}.other{{fill:#60a5fa}}\
         </style><rect width='100%' height='100%' fill='#fff'/>{body}</svg>\n"
    )
}

struct Bar {
    name: &'static str,
    median: f64,
    least: f64,
    most: f64,
}

/// None where nothing valid was measured.
fn bar_of(measured: &Measured, workload: &Workload, peer: &Peer) -> Option<Bar> {
    let samples = &measured.of(workload, peer)?.rates;
    let (least, most) = samples.spread()?;
    Some(Bar { name: peer.name, median: samples.median()?, least, most })
}

impl Bar {
    fn draw(&self, y: f64, scale: f64) -> String {
        let class = match self.name {
            name if name.starts_with("Hotcall") => "ours",
            name if name.starts_with("nginx") => "limit",
            _ => "other",
        };
        let at = |value: f64| value.mul_add(scale, LABELS);
        let (text_y, middle) = (y + BAR - 3.0, y + BAR / 2.0);
        format!(
            "<text x='{:.1}' y='{text_y:.1}' text-anchor='end'>{}</text>\
             <rect x='{LABELS}' y='{y:.1}' width='{:.1}' height='{BAR}' class='{class}'/>\
             <line x1='{:.1}' y1='{middle:.1}' x2='{:.1}' y2='{middle:.1}' class='spread'/>\
             <text x='{:.1}' y='{text_y:.1}'>{}</text>",
            LABELS - 8.0,
            self.name,
            self.median * scale,
            at(self.least),
            at(self.most),
            at(self.most) + 6.0,
            number(self.median),
        )
    }
}
