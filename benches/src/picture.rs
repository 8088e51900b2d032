//! The ratios as a bar chart, in SVG.
//!
//! **Left of the line is faster, right of it slower**, and each step is a doubling. Text and lines are readable on
//! light and on dark, by `prefers-color-scheme`; there is no script, and no font of its own.

use std::fmt::Write;

use crate::section::Bars;

const WIDTH: f64 = 860.0;
const ROW: f64 = 18.0;
/// Where the names of contenders end.
const NAMES: f64 = 165.0;
/// Where the ratio is one.
const ONE: f64 = 380.0;
/// How long a doubling is.
const DOUBLING: f64 = 68.0;
/// Doublings to the left and to the right; bars end there.
const DOUBLINGS: (f64, f64) = (-3.0, 6.0);

/// Contenders, in the order in which they first come, are coloured in this one.
const COLOURS: [&str; 8] = [
    "#8a8f98", "#e8590c", "#2b8a8a", "#7a5ea8", "#b08a00", "#4f8f3f", "#a0527a", "#5b7fb5",
];

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.scale { font-size: 11px; opacity: .7 }
line { stroke: #1f2328; stroke-opacity: .15 }
.one { stroke-opacity: .8 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } line { stroke: #e6edf3 } }";

/// All charts, one below the other.
pub(crate) fn draw(charts: &[&Bars]) -> String {
    let mut drawing = Drawing::default();
    for chart in charts {
        drawing.chart(chart);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n{}</svg>\n",
        drawing.body,
        height = drawing.y + ROW,
    )
}

#[derive(Default)]
struct Drawing {
    body: String,
    /// The base line of the text that was drawn last.
    y: f64,
    /// The contenders so far, for their colours.
    names: Vec<String>,
}

impl Drawing {
    fn chart(&mut self, chart: &Bars) {
        self.y += 1.5 * ROW;
        self.text(8.0, "title", "start", &chart.title);
        self.y += 1.3 * ROW;
        let rows: usize = chart.groups.iter().map(|group| group.bars.len()).sum();
        let height = (rows as f64 + 1.4 * chart.groups.len() as f64 + 0.5) * ROW;
        self.scale(height);
        for group in &chart.groups {
            self.y += 1.4 * ROW;
            self.text(8.0, "title", "start", &group.name);
            for (name, ratio) in &group.bars {
                self.y += ROW;
                self.bar(name, *ratio);
            }
        }
        self.y += ROW;
    }

    /// A line for each doubling.
    fn scale(&mut self, height: f64) {
        let mut doubling = DOUBLINGS.0;
        while doubling <= DOUBLINGS.1 {
            let (x, class) = (
                ONE + doubling * DOUBLING,
                if doubling == 0.0 { "one" } else { "" },
            );
            self.text(x, "scale", "middle", &format!("{}×", doubling.exp2()));
            let (top, bottom) = (self.y + 5.0, self.y + height);
            self.element(&format!(
                "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
            ));
            doubling += 1.0;
        }
    }

    fn bar(&mut self, name: &str, ratio: f64) {
        self.text(NAMES, "", "end", name);
        let end = ONE + ratio.log2().clamp(DOUBLINGS.0, DOUBLINGS.1) * DOUBLING;
        let (left, right) = (end.min(ONE), end.max(ONE));
        let (top, colour) = (self.y - 0.7 * ROW, self.colour(name));
        self.element(&format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>",
            (right - left).max(1.5),
            ROW - 4.0,
        ));
        let figure = format!("{ratio:.2}");
        if ratio < 1.0 {
            self.text(left - 5.0, "", "end", &figure);
        } else {
            self.text(right + 5.0, "", "start", &figure);
        }
    }

    fn colour(&mut self, name: &str) -> &'static str {
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        COLOURS[place % COLOURS.len()]
    }

    fn text(&mut self, x: f64, class: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let y = self.y;
        self.element(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn element(&mut self, element: &str) {
        writeln!(self.body, "{element}").expect("a string takes any text");
    }
}
