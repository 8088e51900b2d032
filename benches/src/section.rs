//! What one kind of work found out.
//!
//! **A section says what it is and how to read it**: it is printed, and written to the report, as it is.

use std::fmt;

/// One table of the report, and perhaps a part of the picture.
#[derive(Debug)]
pub(crate) struct Section {
    /// The heading.
    pub(crate) title: String,
    /// How to read the table, in a sentence or two.
    pub(crate) reading: String,
    /// The columns' names.
    pub(crate) header: Vec<String>,
    /// As many cells in each as in the header. A column of figures stands right: all but the first, where all cells
    /// begin with a digit.
    pub(crate) rows: Vec<Vec<String>>,
    /// What the picture shows of it.
    pub(crate) bars: Option<Bars>,
}

/// A bar chart: groups of bars, such as the contenders for each number of callers.
#[derive(Debug)]
pub(crate) struct Bars {
    /// What is compared, and with what: the bars are ratios, and shorter is better.
    pub(crate) title: String,
    /// The groups, from top to bottom.
    pub(crate) groups: Vec<Group>,
}

/// Bars side by side.
#[derive(Debug)]
pub(crate) struct Group {
    /// What they have in common.
    pub(crate) name: String,
    /// Each contender's name and ratio. The same contender has the same name in all groups.
    pub(crate) bars: Vec<(String, f64)>,
}

impl Section {
    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.header).chain(&self.rows)
    }

    /// Each column's width in characters, and whether it stands right.
    fn columns(&self) -> Vec<(usize, bool)> {
        let column = |number: usize| {
            let cells = self.lines().filter_map(|line| line.get(number));
            let width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let figure = |row: &Vec<String>| row[number].starts_with(|c: char| c.is_ascii_digit());
            (width, number > 0 && self.rows.iter().all(figure))
        };
        (0..self.header.len()).map(column).collect()
    }
}

impl fmt::Display for Section {
    /// As Markdown, with columns that line up in a terminal too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "## {}\n\n{}\n", self.title, self.reading)?;
        let columns = self.columns();
        for (number, line) in self.lines().enumerate() {
            if number == 1 {
                write!(f, "\n|")?;
                for (width, right) in &columns {
                    let end = if *right { ":" } else { "-" };
                    write!(f, "-{}{end}|", "-".repeat(*width))?;
                }
            }
            write!(f, "\n|")?;
            for (cell, (width, right)) in line.iter().zip(&columns) {
                if *right {
                    write!(f, " {cell:>width$} |")?;
                } else {
                    write!(f, " {cell:<width$} |")?;
                }
            }
        }
        Ok(())
    }
}
