//! Which module imports which, and whether an import runs back.
//!
//! The one rule: **imports point down the list of floors**, which `docs/ARCHITECTURE.md` has, top first. A module and
//! its children are one unit. The children of one module have no list; their imports form no circle.
//!
//! | module | does |
//! |---|---|
//! | `source` | reads a crate's modules: their names, and the paths that they write |
//! | `paths` | finds the paths in a file's tokens, `use` or not |
//! | `graph` | follows each path to the module that defines what it names |
//! | `rules` | judges: floors, circles, and the exceptions to both |
//!
//! What is compiled for tests alone is left out. So is what a macro writes into its user's crate.

mod graph;
mod paths;
mod rules;
mod source;

pub use graph::{Import, imports};
pub use rules::{Floors, Report, judge};
pub use source::{Crate, Unread};
