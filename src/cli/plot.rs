//! Plots as SVG, for reports and calibrations: lines over an axis, and bars.
//!
//! An SVG stands alone: no script, no style sheet, no font of its own. Invariant: texts are escaped, so that whatever a list's name or a category holds
//! stays text.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
/// Where the axes end: left, right, top, bottom.
const PLOT: [f64; 4] = [64.0, 580.0, 40.0, 270.0];
const COLOURS: [&str; 6] = ["#2e7d4f", "#c0504d", "#4a6fa5", "#d98c3a", "#7d6bb0", "#555555"];
/// Labels of bars, so that they don't run into each other.
const LABELS_MAX: usize = 16;

pub struct Series<'a> {
    pub label: &'a str,
    pub points: Vec<(f64, f64)>,
}

/// Lines, of y in per cent or counts over x from the smallest to the largest.
pub fn lines(title: &str, x: &str, y: &str, series: &[Series<'_>]) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let (first, last) = points().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let top = ceiling(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let [left, right, up, down] = PLOT;
    let span = if last > first { last - first } else { 1.0 };
    let place = |(px, py): (f64, f64)| (left + (px - first) / span * (right - left), down - py / top * (down - up));
    let mut out = frame(title, x, y, top);
    for step in 0..=4 {
        let at = first + span * f64::from(step) / 4.0;
        text(&mut out, place((at, 0.0)).0, down + 18.0, "middle", &short(at));
    }
    for (n, Series { label, points }) in series.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let path: Vec<String> = points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join(" "));
        let at = up + 10.0 + 20.0 * n as f64;
        _ = writeln!(out, "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>", right + 14.0, at - 5.0);
        text(&mut out, right + 32.0, at, "start", label);
    }
    out + "</svg>\n"
}

/// A bar for each label.
pub fn bars(title: &str, x: &str, y: &str, bars: &[(String, u64)]) -> String {
    let top = ceiling(bars.iter().map(|(_, n)| *n).max().unwrap_or(0) as f64);
    let [left, right, up, down] = PLOT;
    let width = (right - left) / bars.len().max(1) as f64;
    let mut out = frame(title, x, y, top);
    let every = bars.len().div_ceil(LABELS_MAX).max(1);
    for (n, (label, count)) in bars.iter().enumerate() {
        let (at, height) = (left + width * n as f64, *count as f64 / top * (down - up));
        _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{}\"><title>{}: {count}</title></rect>",
            at + width * 0.08,
            down - height,
            (width * 0.84).max(0.5),
            COLOURS[0],
            escaped(label)
        );
        if n % every == 0 {
            text(&mut out, at + width / 2.0, down + 18.0, "middle", label);
        }
    }
    out + "</svg>\n"
}

fn frame(title: &str, x: &str, y: &str, top: f64) -> String {
    let [left, right, up, down] = PLOT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>{}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n",
        escaped(title)
    );
    _ = writeln!(out, "<text x=\"{left}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{}</text>", escaped(title));
    for step in 0..=4 {
        let (at, value) = (down - (down - up) * f64::from(step) / 4.0, top * f64::from(step) / 4.0);
        _ = writeln!(out, "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>");
        text(&mut out, left - 8.0, at + 4.0, "end", &short(value));
    }
    text(&mut out, f64::midpoint(left, right), down + 40.0, "middle", x);
    text(&mut out, right + 14.0, HEIGHT - 12.0, "start", y);
    out
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(words));
}

/// The next number of one digit, or of one and a half, so that the axis has plain steps.
fn ceiling(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let unit = 10f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    unit * steps.into_iter().find(|step| step * unit >= most).unwrap_or(10.0)
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e4 => format!("{}k", value / 1e3),
        value if value.fract() == 0.0 => format!("{value}"),
        value => format!("{value:.3}").trim_end_matches('0').to_owned(),
    }
}

/// A text of XML or HTML, without control characters, which neither has a way to write.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plotted_is_well_formed_whatever_it_is_called() {
        let odd = "<script>alert('x')</script> & \"y\"\0";
        let drawn = [
            lines(
                odd,
                odd,
                odd,
                &[Series { label: odd, points: vec![(0.0, 0.0), (31.0, 0.25)] }, Series { label: "", points: vec![] }],
            ),
            lines("one", "", "", &[Series { label: "", points: vec![(5.0, 1.0)] }]),
            bars(odd, odd, odd, &[(odd.to_owned(), 3), ("b".to_owned(), 0)]),
            bars("none", "", "", &[]),
        ];
        for svg in drawn {
            assert!(!svg.contains("<script") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let mut reader = quick_xml::Reader::from_str(&svg);
            let mut elements = 0;
            loop {
                match reader.read_event().unwrap() {
                    quick_xml::events::Event::Eof => break,
                    quick_xml::events::Event::Start(_) => elements += 1,
                    _ => {}
                }
            }
            assert!(elements > 5);
        }
    }

    #[test]
    fn an_axis_ends_at_a_plain_number() {
        for (most, top) in [(0.0, 1.0), (1.0, 1.0), (3.0, 4.0), (0.013, 0.02), (71_000.0, 80_000.0), (8.1, 10.0)] {
            assert!((ceiling(most) - top).abs() < 1e-9, "{most}: {}", ceiling(most));
        }
        assert_eq!([0.0, 0.125, 250.0, 20_000.0, 3e6].map(short), ["0", "0.125", "250", "20k", "3M"]);
    }
}
