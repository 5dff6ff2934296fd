//! The chart: one panel per figure, one bar per system. Plain SVG, without a script or a font of its own; its
//! colours follow the reader's light or dark scheme.

use std::fmt::Write as _;

use crate::figures::Figure;
use crate::rounds::Measured;

/// What is drawn, and whether a longer bar is better.
const PANELS: [(Figure, &str, bool); 6] = [
    (Figure::Rps, "Requests per second, 64 connections", true),
    (Figure::CpuRequest, "CPU time per request, µs", false),
    (Figure::Close, "New connections per second", true),
    (Figure::CpuGb, "CPU time per GB, s", false),
    (Figure::Down, "Download, MB/s", true),
    (Figure::Idle1000, "Memory with 1,000 idle visitors, MB", false),
];

const WIDTH: usize = 860;
const PANEL_WIDTH: usize = WIDTH / 2;
const LABEL_WIDTH: usize = 96;
const BAR_WIDTH: usize = PANEL_WIDTH - LABEL_WIDTH - 84;
const ROW: usize = 22;
const HEAD: usize = 44;

/// Draws it.
pub(crate) fn draw(measured: &[Measured]) -> String {
    let panel_height = HEAD + ROW * measured.len() + 18;
    let height = panel_height * PANELS.len().div_ceil(2);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Benchmarks of Petit beside other systems">
<style>
  text {{ font: 13px system-ui, sans-serif; fill: #24292f }}
  .title {{ font-weight: 600 }}
  .note {{ font-size: 11px; fill: #57606a }}
  .bar {{ fill: #afb8c1 }}
  .petit {{ fill: #0969da }}
  .own {{ font-weight: 600 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }}
    .note {{ fill: #9198a1 }}
    .bar {{ fill: #57606a }}
    .petit {{ fill: #4493f8 }}
  }}
</style>
"##
    );
    for (at, (figure, title, more_is_better)) in PANELS.iter().enumerate() {
        let (x, y) = (at % 2 * PANEL_WIDTH, at / 2 * panel_height);
        let note = if *more_is_better { "longer is better" } else { "shorter is better" };
        let _ = writeln!(
            svg,
            r#"<text class="title" x="{x}" y="{}">{title}</text><text class="note" x="{x}" y="{}">{note}</text>"#,
            y + 16,
            y + 32
        );
        let most = measured.iter().filter_map(|system| system.results.of(*figure)).fold(0.0, f64::max);
        for (row, system) in measured.iter().enumerate() {
            let y = y + HEAD + row * ROW;
            let own = system.name.starts_with("petit");
            let (bar, label) = if own { ("petit", "own") } else { ("bar", "") };
            let _ = writeln!(svg, r#"<text class="{label}" x="{x}" y="{}">{}</text>"#, y + 12, system.name);
            let (length, value) = match system.results.of(*figure) {
                Some(value) if most > 0.0 => {
                    ((value / most * BAR_WIDTH as f64).max(1.0), format!("{value:.*}", figure.digits()))
                }
                _ => (0.0, "–".to_owned()),
            };
            let _ = writeln!(
                svg,
                r#"<rect class="{bar}" x="{}" y="{}" width="{length:.1}" height="14" rx="2"/><text x="{:.1}" y="{}">{value}</text>"#,
                x + LABEL_WIDTH,
                y + 1,
                (x + LABEL_WIDTH) as f64 + length + 6.0,
                y + 12
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
