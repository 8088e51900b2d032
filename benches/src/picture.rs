//! The ratios as a bar chart, in SVG.
//!
//! **Readable on light and on dark**: text and lines have the colour of the page's text, which the picture finds
//! out by `prefers-color-scheme`; no script, no font of its own.

use std::fmt::Write;

use crate::section::Bars;

const WIDTH: f64 = 860.0;
/// Where the bars begin.
const LEFT: f64 = 250.0;
/// Where the longest bar ends; its figure stands to the right of it.
const RIGHT: f64 = 790.0;
const ROW: f64 = 18.0;
/// Bars of a greater ratio are cut off here, and say so.
const MOST: f64 = 4.0;

/// Contenders, in the order in which they first come, are coloured in this one.
const COLOURS: [&str; 8] = [
    "#8a8f98", "#b7bcc4", "#d9480f", "#2b8a8a", "#7a5ea8", "#b08a00", "#4f7f3f", "#a0527a",
];

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.one { stroke: #1f2328; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .one { stroke: #e6edf3 } }";

/// All charts, one below the other.
pub(crate) fn draw(charts: &[&Bars]) -> String {
    let mut drawing = Drawing::default();
    for chart in charts {
        drawing.chart(chart);
    }
    let height = drawing.y + ROW;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n{}</svg>\n",
        drawing.body
    )
}

#[derive(Default)]
struct Drawing {
    body: String,
    y: f64,
    /// The contenders so far, for their colours.
    names: Vec<String>,
}

impl Drawing {
    fn chart(&mut self, chart: &Bars) {
        self.y += 2.0 * ROW;
        self.text(10.0, "title", "start", &chart.title);
        let top = self.y + 0.5 * ROW;
        for group in &chart.groups {
            self.y += 1.6 * ROW;
            self.text(10.0, "title", "start", &group.name);
            for (name, ratio) in &group.bars {
                self.y += ROW;
                self.bar(name, *ratio);
            }
        }
        let (x, bottom) = (LEFT + scaled(1.0), self.y + 0.4 * ROW);
        self.line(&format!(
            "<line class=\"one\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{top:.0}\" y2=\"{bottom:.0}\"/>"
        ));
        self.y += ROW;
    }

    fn bar(&mut self, name: &str, ratio: f64) {
        self.text(LEFT - 8.0, "", "end", name);
        let (width, top, colour) = (scaled(ratio), self.y - 0.7 * ROW, self.colour(name));
        self.line(&format!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"{colour}\"/>",
            ROW - 4.0
        ));
        let cut = if ratio > MOST { "… " } else { "" };
        self.text(LEFT + width + 6.0, "", "start", &format!("{cut}{ratio:.2}"));
    }

    fn colour(&mut self, name: &str) -> &'static str {
        let known = self.names.iter().position(|n| n == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        COLOURS[place % COLOURS.len()]
    }

    fn text(&mut self, x: f64, class: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let y = self.y;
        self.line(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn line(&mut self, element: &str) {
        writeln!(self.body, "{element}").expect("a string takes any text");
    }
}

/// A ratio's length in the picture.
fn scaled(ratio: f64) -> f64 {
    ratio.min(MOST) / MOST * (RIGHT - LEFT)
}
