//! Plots as SVG.

use std::fmt::Write;

use crate::html::escaped;

/// Points with a name.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Those that are not above zero are left out: axes are logarithmic.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Curves over logarithmic axes.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) curves: Vec<Curve>,
}

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 460.0;
/// Where the area of the curves begins and ends.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 400.0;

/// Colours that can be told apart, also by who is colour-blind with the marks'
/// help.
const COLOURS: [&str; 11] = [
    "#0072b2", "#56b4e9", "#009e73", "#333333", "#d55e00", "#e69f00", "#cc3377", "#8844aa", "#7a7a00",
    "#777777", "#8c510a",
];

/// A logarithmic axis from one power of ten to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    first: i32,
    last: i32,
    /// Where they lie.
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values {
            (least, most) = (least.min(value), most.max(value));
        }
        if most <= 0.0 {
            (least, most) = (1.0, 10.0);
        }
        let first = least.log10().floor() as i32;
        let last = (most.log10().ceil() as i32).max(first + 1);
        Self { first, last, from, to }
    }

    fn place(self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + part * (self.to - self.from)
    }

    /// The powers of ten, and what is written there.
    fn marks(self) -> impl Iterator<Item = (f64, String)> {
        (self.first..=self.last).map(move |power| (self.place(10_f64.powi(power)), written(power)))
    }
}

fn written(power: i32) -> String {
    match power {
        0..=4 => format!("{}", 10_u32.pow(power.unsigned_abs())),
        -3..=-1 => format!("{:.*}", power.unsigned_abs() as usize, 10_f64.powi(power)),
        _ => format!("1e{power}"),
    }
}

impl Plot {
    pub(crate) fn svg(mut self) -> String {
        for curve in &mut self.curves {
            curve.points.retain(|(x, y)| *x > 0.0 && *y > 0.0 && x.is_finite() && y.is_finite());
        }
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x = Axis::new(points().map(|point| point.0), LEFT, RIGHT);
        let y = Axis::new(points().map(|point| point.1), BOTTOM, TOP);
        let mut out = begin(&self.title, HEIGHT);
        self.grid(x, y, &mut out);
        for (n, curve) in self.curves.iter().enumerate() {
            draw(n, curve, x, y, &mut out);
        }
        out.push_str("</svg>\n");
        out
    }

    fn grid(&self, x: Axis, y: Axis, out: &mut String) {
        for (at, mark) in x.marks() {
            let _ = writeln!(
                out,
                "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{}\" \
                 text-anchor=\"middle\">{mark}</text>",
                BOTTOM + 18.0
            );
        }
        for (at, mark) in y.marks() {
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{mark}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        let (middle, below) = ((LEFT + RIGHT) / 2.0, BOTTOM + 42.0);
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(&self.x),
            (TOP + BOTTOM) / 2.0,
            escaped(&self.y)
        );
    }
}

fn begin(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>{0}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{0}</text>\n",
        escaped(title)
    )
}

fn draw(n: usize, curve: &Curve, x: Axis, y: Axis, out: &mut String) {
    let colour = COLOURS[n % COLOURS.len()];
    let places: Vec<_> = curve.points.iter().map(|point| (x.place(point.0), y.place(point.1))).collect();
    let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    for (x, y) in &places {
        let _ = writeln!(out, "{}", mark(n, *x, *y, colour));
    }
    let (at, line) = (RIGHT + 20.0, TOP + 10.0 + n as f64 * 22.0);
    let _ = writeln!(
        out,
        "{}<text x=\"{}\" y=\"{}\">{}</text>",
        mark(n, at, line, colour),
        at + 12.0,
        line + 4.0,
        escaped(&curve.name)
    );
}

/// A mark of its own for each three curves.
fn mark(n: usize, x: f64, y: f64, colour: &str) -> String {
    match n % 3 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"),
        1 => format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"{colour}\"/>",
            x - 4.0,
            y - 4.0
        ),
        _ => format!("<path d=\"M{x:.1} {:.1}l5 9h-10z\" fill=\"{colour}\"/>", y - 5.0),
    }
}

/// One bar for each value, from zero, with what is written beside it.
pub(crate) fn bars(title: &str, values: &[(String, f64, String)]) -> String {
    const BAR: f64 = 24.0;
    let most = values.iter().map(|(_, value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut out = begin(title, 50.0 + BAR * values.len() as f64);
    let (from, to) = (330.0, 880.0);
    for (n, (name, value, shown)) in values.iter().enumerate() {
        let y = 36.0 + n as f64 * BAR;
        let len = (value / most * (to - from)).max(0.0);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect x=\"{from}\" y=\"{y:.1}\" \
             width=\"{len:.1}\" height=\"17\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            from - 8.0,
            y + 13.0,
            escaped(name),
            COLOURS[n % COLOURS.len()],
            from + len + 6.0,
            y + 13.0,
            escaped(shown)
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
