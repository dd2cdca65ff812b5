//! Lines over a logarithmic axis, as SVG.
//!
//! Just what the pictures need, so that the same data gives the same bytes and no plotting library is
//! needed for a few lines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// From the first value to the second.
    Linear(f64, f64),
    /// The same in powers of ten; both are above zero.
    Logarithmic(f64, f64),
}

/// A named axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// From where to where.
    pub scale: Scale,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// (x, y), in the order of x.
    pub points: Vec<(f64, f64)>,
}

/// A picture.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// At most six, each with a colour and a mark of its own.
    pub lines: Vec<Line>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 58.0;
/// Told apart also by those who see no red and green (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const DASHES: [&str; 6] = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2"];

impl Axis {
    /// An axis.
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Self { label: label.into(), scale }
    }

    /// Where a value is, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear(from, to) => (value - from) / (to - from),
            Scale::Logarithmic(from, to) => {
                (value.max(from).log10() - from.log10()) / (to.log10() - from.log10())
            }
        }
        .clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear(from, to) => {
                (0..=5).map(|i| from + (to - from) * f64::from(i) / 5.0).collect()
            }
            Scale::Logarithmic(from, to) => (-9..=12)
                .map(|power| 10f64.powi(power))
                .filter(|tick| (from * 0.999..=to * 1.001).contains(tick))
                .collect(),
        }
    }
}

impl Chart {
    /// The picture's text.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let x_of = |value| LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT);
        let y_of = |value| HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        let mut add = |line: String| writeln!(svg, "{line}").expect("a string takes every line");
        add(text(WIDTH / 2.0, 24.0, "middle\" font-size=\"15", &self.title));
        for tick in self.x.ticks() {
            let x = x_of(tick);
            add(format!("<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#e0e0e0\"/>"));
            add(text(x, bottom + 18.0, "middle", &short(tick)));
        }
        for tick in self.y.ticks() {
            let y = y_of(tick);
            add(format!("<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e0e0e0\"/>"));
            add(text(LEFT - 8.0, y + 4.0, "end", &short(tick)));
        }
        add(format!(
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#404040\"/>"
        ));
        add(text(f64::midpoint(LEFT, right), HEIGHT - 16.0, "middle", &self.x.label));
        let middle = f64::midpoint(TOP, bottom);
        let turned = format!("middle\" transform=\"rotate(-90 18 {middle})");
        add(text(18.0, middle, &turned, &self.y.label));
        for (number, line) in self.lines.iter().enumerate() {
            let (colour, dashes) = (COLOURS[number % 6], DASHES[number % 6]);
            let stroke = format!(
                "fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\""
            );
            let points =
                line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y)));
            let points: Vec<_> = points.collect();
            add(format!("<polyline points=\"{}\" {stroke}/>", points.join(" ")));
            for (x, y) in &line.points {
                let (x, y) = (x_of(*x), y_of(*y));
                add(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"));
            }
        }
        self.add_legend(&mut add);
        svg.push_str("</svg>\n");
        svg
    }

    /// Where the lines leave most room: the corner with the fewest points.
    fn add_legend(&self, add: &mut impl FnMut(String)) {
        let height = 18.0 * f64::from(u32::try_from(self.lines.len()).unwrap_or(u32::MAX));
        let crowd = |right: bool, top: bool| {
            let points = self.lines.iter().flat_map(|line| &line.points);
            let is_near = |(x, y): &&(f64, f64)| {
                (self.x.place(*x) > 0.5) == right
                    && if top { self.y.place(*y) > 0.6 } else { self.y.place(*y) < 0.4 }
            };
            points.filter(is_near).count()
        };
        let corners = [(true, false), (true, true), (false, true), (false, false)];
        let (is_right, is_top) =
            corners.into_iter().min_by_key(|(r, t)| crowd(*r, *t)).expect("four corners");
        let x = if is_right { WIDTH - RIGHT - 250.0 } else { LEFT + 14.0 };
        let y = if is_top { TOP + 12.0 } else { HEIGHT - BOTTOM - height };
        add(format!(
            "<rect x=\"{}\" y=\"{}\" width=\"246\" height=\"{}\" fill=\"#ffffff\" \
             fill-opacity=\"0.85\"/>",
            x - 6.0,
            y - 12.0,
            height + 6.0
        ));
        for (number, line) in self.lines.iter().enumerate() {
            let y = y + 18.0 * f64::from(u32::try_from(number).unwrap_or(u32::MAX));
            let (colour, dashes) = (COLOURS[number % 6], DASHES[number % 6]);
            add(format!(
                "<path d=\"M{x} {y}h26\" stroke=\"{colour}\" stroke-width=\"2\" \
                 stroke-dasharray=\"{dashes}\"/>"
            ));
            add(text(x + 32.0, y + 4.0, "start", &line.name));
        }
    }

    /// Writes the picture to a file.
    ///
    /// # Errors
    /// When that fails; the path is in the message.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.to_svg()).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
}

/// A number as short as it can be read: 0.25, 3, 10k, 2M.
fn short(number: f64) -> String {
    let shortened = [(1e6, "M"), (1e4, "k")].into_iter().find(|(least, _)| number >= *least);
    let (number, unit) = match shortened {
        Some((_, "M")) => (number / 1e6, "M"),
        Some((_, unit)) => (number / 1e3, unit),
        None => (number, ""),
    };
    let text = format!("{number:.4}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{Axis, Chart, Line, Scale, short};

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let chart = Chart {
            title: "a < b".to_owned(),
            x: Axis::new("x", Scale::Logarithmic(1.0, 1000.0)),
            y: Axis::new("y", Scale::Linear(0.0, 1.0)),
            lines: vec![Line { name: "l".to_owned(), points: vec![(1.0, 0.0), (1000.0, 1.0)] }],
        };
        let svg = chart.to_svg();
        assert!(svg.contains("points=\"76.0,382.0 736.0,44.0\""), "{svg}");
        assert!(svg.contains("a &lt; b"));
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.001, 0.25, 3.0, 1000.0, 10_000.0, 2e6].map(short);
        assert_eq!(texts, ["0.001", "0.25", "3", "1000", "10k", "2M"]);
    }
}
