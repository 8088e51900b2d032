//! Which cache a call uses: the one that it names, that of its scope, that of its runtime, the global one.
#![allow(missing_docs)]

mod order;
mod runtimes;
mod scene;
mod scopes;
mod side_by_side;
