//! The examples of this workspace; each is a file of its own beside this one.
