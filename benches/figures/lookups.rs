//! The plot of look-up time against list size, from the tables of docs/benchmarks.md.
//!
//! The tables are the one place for the figures: whoever changes them draws the plot anew (`cargo bench --bench figures`), and a test
//! compares the two.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Where the axes end: left, right, top, bottom.
const PLOT: [f64; 4] = [64.0, 520.0, 48.0, 370.0];
/// Powers of ten at both ends of each axis: hashes in the list, microseconds.
const X: [f64; 2] = [4.0, 7.0];
const Y: [f64; 2] = [0.0, 5.0];
/// Pixels between two labels.
const LABEL_GAP: f64 = 17.0;

struct Series {
    label: &'static str,
    colour: &'static str,
    dashed: bool,
    /// Hashes in the list, microseconds a look-up.
    points: Vec<(f64, f64)>,
}

/// The plot as SVG. `Err` names the row that docs/benchmarks.md lacks.
pub fn svg(page: &str) -> Result<String, String> {
    let sizes = |row: &str, cells: &[(usize, f64)]| -> Result<Vec<(f64, f64)>, String> {
        let line = page.lines().find(|line| line.starts_with(row)).ok_or_else(|| format!("no row {row}"))?;
        let line: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = |(cell, hashes): &(usize, f64)| {
            let text = line.get(*cell).and_then(|text| text.split(' ').next()).unwrap_or_default();
            let digits: String = text.chars().filter(|c| !matches!(c, '*' | ',')).collect();
            let micros = digits.parse().map_err(|_| format!("no number in cell {cell} of {row}: {text:?}"))?;
            Ok((*hashes, micros))
        };
        cells.iter().map(number).collect()
    };
    let by_size = [(2, 1e4), (3, 1e5), (4, 1e6), (5, 1e7)];
    let beside = [(2, 1e6), (6, 1e7)];
    let of = |label, colour, dashed, points| Series { label, colour, dashed, points };
    let series = [
        of("linear scan", "#9a9a9a", true, sizes("| PDQ radius 31: scan |", &by_size)?),
        of("Faiss IndexBinaryFlat", "#c0504d", false, sizes("| Faiss IndexBinaryFlat |", &beside)?),
        of("Faiss IndexBinaryMultiHash", "#d98c3a", false, sizes("| Faiss IndexBinaryMultiHash |", &beside)?),
        of("python-threatexchange", "#7d6bb0", true, sizes("| python-threatexchange, default index |", &beside)?),
        of("hashwarden", "#2e7d4f", false, sizes("| PDQ radius 31: **multi-index** |", &by_size)?),
        of("hashwarden, beside the peers", "#5aa777", true, sizes("| **hashwarden** multi-index |", &beside)?),
    ];
    Ok(draw(&series))
}

fn draw(series: &[Series]) -> String {
    let [left, right, top, bottom] = PLOT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"15\">Microseconds a PDQ look-up, radius 31, one thread (both axes logarithmic)</text>\n"
    );
    // Writing to a string can't fail.
    for power in Y[0] as i32..=Y[1] as i32 {
        let y = place_y(10f64.powi(power));
        let _ = writeln!(out, "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#e4e4e4\"/>");
        let label = thousands(10u64.pow(power as u32));
        let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 8.0, y + 4.0);
    }
    for (power, label) in (X[0] as i32..).zip(["10 thousand", "100 thousand", "1 million", "10 million"]) {
        let x = place_x(10f64.powi(power));
        let _ = writeln!(out, "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#e4e4e4\"/>");
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", bottom + 20.0);
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">hashes in the list</text>",
        (left + right) / 2.0,
        bottom + 40.0
    );
    for Series { colour, dashed, points, .. } in series {
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", place_x(*x), place_y(*y))).collect();
        let dashes = if *dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            line.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>", place_x(*x), place_y(*y));
        }
    }
    // Labels stand beside the last point, the lowest as it is and each other as far above the next as it needs.
    let mut labels: Vec<(f64, &Series)> = series.iter().filter_map(|of| Some((place_y(of.points.last()?.1), of))).collect();
    labels.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut below = f64::INFINITY;
    for (y, Series { label, colour, points, .. }) in labels {
        below = (y + 4.0).min(below - LABEL_GAP);
        let micros = points.last().map_or(0.0, |(_, micros)| *micros);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{below:.1}\" fill=\"{colour}\">{label}: {}</text>",
            right + 10.0,
            thousands(micros.round() as u64)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn place_x(hashes: f64) -> f64 {
    PLOT[0] + (hashes.log10() - X[0]) / (X[1] - X[0]) * (PLOT[1] - PLOT[0])
}

fn place_y(micros: f64) -> f64 {
    PLOT[3] - (micros.log10() - Y[0]) / (Y[1] - Y[0]) * (PLOT[3] - PLOT[2])
}

/// Such as `13,481`.
fn thousands(n: u64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", thousands(n / 1000), n % 1000) }
}
