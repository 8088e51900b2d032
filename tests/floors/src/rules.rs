//! Whether imports run back.
//!
//! **An exception that is not needed fails as well**, so the list of exceptions only becomes shorter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::graph::Import;

/// The children of a crate's root in their order, top first.
#[derive(Debug)]
pub struct Floors(Vec<String>);

/// What is wrong, a line each.
#[derive(Debug, Default)]
pub struct Report(Vec<String>);

impl Report {
    /// What is wrong, a line each; empty where all is well.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Floors {
    /// Reads the list in a document: the block of code that begins with ```` ```text floors=NAME ````. In each line the
    /// modules stand before two spaces, and what they are for stands after them. `lib` is the root itself.
    ///
    /// # Panics
    ///
    /// Where the document has no such block.
    #[must_use]
    pub fn in_document(document: &str, name: &str) -> Self {
        let begin = format!("```text floors={name}");
        let mut lines = document.lines().skip_while(|line| line.trim_end() != begin);
        assert!(
            lines.next().is_some(),
            "the document has no block that begins with `{begin}`"
        );
        let lines = lines.take_while(|line| line.trim_end() != "```");
        let names = lines.filter_map(|line| line.split("  ").next());
        let names = names.flat_map(str::split_whitespace);
        Self(names.map(str::to_owned).collect())
    }

    /// Where a module stands: 0 is the top.
    fn of(&self, module: &[String]) -> Option<usize> {
        let name = module.first().map_or("lib", String::as_str);
        self.0.iter().position(|floor| floor == name)
    }
}

/// Judges the imports of a crate whose root has the children `top`.
///
/// An exception is a pair of modules of which the first may import the second: two floors (`("auth", "config")`), or two
/// children of one module (`("store::link", "store::watch")`). Places are told from `root` on.
#[must_use]
pub fn judge(
    top: &[&str],
    imports: &[Import],
    floors: &Floors,
    exceptions: &[(&str, &str)],
    root: &Path,
) -> Report {
    let mut report = Report::default();
    compare_lists(top, floors, &mut report);
    let mut needed = BTreeSet::new();
    let mut back = BTreeMap::new();
    for import in imports {
        let (Some(from), Some(to)) = (floors.of(&import.from), floors.of(&import.to)) else {
            continue;
        };
        if from > to {
            let edge = (floors.0[from].as_str(), floors.0[to].as_str());
            if exceptions.contains(&edge) {
                needed.insert((edge.0.to_owned(), edge.1.to_owned()));
            } else {
                let paths: &mut Vec<_> = back.entry((place(import, root), edge)).or_default();
                paths.push(import.path.as_str());
            }
        }
    }
    for ((place, (from, to)), paths) in back {
        report.0.push(format!(
            "{place} imports `{}`: `{from}` stands below `{to}`, so it must not need it; move what both need below \
             them, or hand it in from above",
            paths.join("`, `"),
        ));
    }
    for edges in siblings(imports).values() {
        find_circles(edges, exceptions, &mut needed, &mut report, root);
    }
    for (from, to) in exceptions {
        if !needed.contains(&((*from).to_owned(), (*to).to_owned())) {
            report.0.push(format!(
                "`{from}` imports nothing of `{to}` that runs back; remove the exception"
            ));
        }
    }
    report
}

/// Every module has one floor, and every floor a module.
fn compare_lists(top: &[&str], floors: &Floors, report: &mut Report) {
    for name in top {
        match floors.0.iter().filter(|floor| floor == name).count() {
            1 => {}
            0 => report.0.push(format!(
                "module `{name}` stands on no floor; write it into the list, above what it imports"
            )),
            _ => report
                .0
                .push(format!("module `{name}` stands on two floors; remove one")),
        }
    }
    for floor in &floors.0 {
        if floor != "lib" && !top.contains(&floor.as_str()) {
            report.0.push(format!(
                "no module is called `{floor}`; remove it from the list"
            ));
        }
    }
}

fn place(import: &Import, root: &Path) -> String {
    let file = import.file.strip_prefix(root).unwrap_or(&import.file);
    format!("{}:{}", file.display(), import.line)
}

/// Which child of a module imports which, and the first import that says so.
type Edges<'a> = BTreeMap<(String, String), &'a Import>;

/// The edges among the children of each module, but for the root's, which have their floors. An import between a child
/// and its parent is none of them, because the two are one unit.
fn siblings(imports: &[Import]) -> BTreeMap<Vec<String>, Edges<'_>> {
    let mut folders: BTreeMap<_, Edges<'_>> = BTreeMap::new();
    for import in imports {
        let both = import.from.iter().zip(&import.to);
        let common = both.take_while(|(from, to)| from == to).count();
        let is_with_parent = common == import.from.len() || common == import.to.len();
        if common > 0 && !is_with_parent {
            let child = |path: &[String]| path[..=common].join("::");
            let edge = (child(&import.from), child(&import.to));
            let edges = folders.entry(import.from[..common].to_vec()).or_default();
            edges.entry(edge).or_insert(import);
        }
    }
    folders
}

/// Reports each edge that closes a circle. An exception is needed where it alone would close one.
fn find_circles(
    edges: &Edges<'_>,
    exceptions: &[(&str, &str)],
    needed: &mut BTreeSet<(String, String)>,
    report: &mut Report,
    root: &Path,
) {
    let is_excepted = |(from, to): &(String, String)| exceptions.contains(&(from, to));
    let mut counted = edges.clone();
    counted.retain(|edge, _| !is_excepted(edge));
    for (edge, import) in edges {
        let (from, to) = edge;
        let Some(back) = way(&counted, to, from) else {
            continue;
        };
        if is_excepted(edge) {
            needed.insert(edge.clone());
        } else {
            report.0.push(format!(
                "{} imports `{}`, which closes a circle: {from} -> {}; move what both need into a module of its own",
                place(import, root),
                import.path,
                back.join(" -> "),
            ));
        }
    }
}

/// The shortest way from one module to another, both included.
fn way(edges: &Edges<'_>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut next = 0;
    while let Some(way) = ways.get(next).cloned() {
        next += 1;
        let last = &way[way.len() - 1];
        if last == to {
            return Some(way);
        }
        for (_, after) in edges.keys().filter(|(before, _)| before == last) {
            if seen.insert(after.clone()) {
                let mut longer = way.clone();
                longer.push(after.clone());
                ways.push(longer);
            }
        }
    }
    None
}
