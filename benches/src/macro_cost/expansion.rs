//! How much an attribute writes.
//!
//! **Both are printed alike**: the compiler expands them, and one printer makes the lines. Only a nightly compiler
//! shows what it expanded, so the stable one is told by `RUSTC_BOOTSTRAP` to be one, for this command alone.

use std::collections::HashMap;
use std::fs;
use std::process::Stdio;

use syn::{File, ImplItem, Item};

use super::build::{cargo, root, target};
use super::crates::{Crates, Way};
use crate::section::Section;
use crate::settings::Settings;

/// A function, and the attributes that cache it.
struct Function {
    name: &'static str,
    /// Stands in an impl.
    is_method: bool,
    text: &'static str,
    redis_cached: &'static str,
    /// In Redis, where it can.
    cached: Option<&'static str>,
    /// In memory, where it can.
    cached_in_memory: Option<&'static str>,
}

const FREE: &str = "pub async fn get_user(pool: &Pool, id: u64) -> Result<User, DbError> { query(pool, id).await }";
const METHOD: &str = "pub async fn rights(&self, user: &User) -> Result<Vec<Right>, DbError> { self.load(user).await }";

const FUNCTIONS: [Function; 7] = [
    Function {
        name: "a function",
        is_method: false,
        text: FREE,
        redis_cached: "ttl = 300, skip(pool)",
        cached: Some(
            "redis = true, ttl_secs = 300, key = \"u64\", convert = { id }, map_error = |e| DbError::from(e)",
        ),
        cached_in_memory: Some("ttl_secs = 300, key = \"u64\", convert = { id }"),
    },
    Function {
        name: "an `Option`",
        is_method: false,
        text: "async fn find(name: &str) -> Option<User> { lookup(name).await }",
        redis_cached: "ttl = 300",
        cached: None,
        cached_in_memory: Some("ttl_secs = 300, key = \"String\", convert = { name.to_owned() }"),
    },
    Function {
        name: "a method",
        is_method: true,
        text: METHOD,
        redis_cached: "ttl = 300, key_args(self.tenant, user.id)",
        cached: Some(
            "redis = true, ttl_secs = 300, in_impl = true, key = \"String\", convert = { key_of(self, user) }, map_error = |e| DbError::from(e)",
        ),
        cached_in_memory: Some(
            "ttl_secs = 300, in_impl = true, key = \"String\", convert = { key_of(self, user) }",
        ),
    },
    Function {
        name: "a method, and a timeout, a namespace, a version, and a condition",
        is_method: true,
        text: METHOD,
        redis_cached: "ttl = 300, timeout = \"50ms\", namespace = \"rights\", version = 2, cache_if = |rights| !rights.is_empty(), skip(self)",
        cached: None,
        cached_in_memory: None,
    },
    Function {
        name: "stale_while_revalidate",
        is_method: false,
        text: FREE,
        redis_cached: "ttl = 300, stale_while_revalidate = \"1m\", skip(pool)",
        cached: None,
        cached_in_memory: None,
    },
    Function {
        name: "every option of freshness",
        is_method: false,
        text: FREE,
        redis_cached: "ttl = 300, stale_while_revalidate = \"1m\", stale_if_error = \"1h\", soft_timeout = \"100ms\", refresh_ahead = 0.8, jitter = 0.1, coalesce = \"cluster\", skip(pool)",
        cached: None,
        cached_in_memory: None,
    },
    Function {
        name: "no companions",
        is_method: false,
        text: "async fn answer(id: u64) -> Result<u64, DbError> { compute(id).await }",
        redis_cached: "ttl = 300, companions = none",
        cached: Some("redis = true, ttl_secs = 300, map_error = |e| DbError::from(e)"),
        cached_in_memory: Some("ttl_secs = 300"),
    },
];

/// Counts what each attribute writes beyond the body.
///
/// # Panics
///
/// Where an attribute is refused.
pub(crate) fn expansion(_: &Settings) -> Section {
    let crates = Crates::write(&root(), target(&root()).join("macro-cost"), 1)
        .expect("a directory to write to");
    let ours = |function: &Function| {
        Some(format!(
            "cache_runtime::redis_cached({})",
            function.redis_cached
        ))
    };
    let theirs = |options: Option<&str>| {
        options.map(|options| format!("cached::macros::concurrent_cached({options})"))
    };
    let columns = [
        sizes(&crates, Way::RedisCached, ours),
        sizes(&crates, Way::Cached, |function| theirs(function.cached)),
        sizes(&crates, Way::Cached, |function| {
            theirs(function.cached_in_memory)
        }),
    ];
    let row = |(number, function): (usize, &Function)| {
        let cells = columns.iter().flat_map(|column| match column[number] {
            Some((lines, bytes)) => [lines.to_string(), bytes.to_string()],
            None => ["–".to_owned(), "–".to_owned()],
        });
        std::iter::once(function.name.to_owned())
            .chain(cells)
            .collect()
    };
    let header = [
        "",
        "#[redis_cached] lines",
        "bytes",
        "cached, Redis",
        "bytes",
        "cached, memory",
        "bytes",
    ];
    Section {
        title: "What an attribute writes".to_owned(),
        reading: "Lines and bytes of the expansion beyond the function's body, as `cargo expand` would show them. \
                  `–`: it has no such option, or not for such a function. The compiler that expands is the stable one, \
                  with `RUSTC_BOOTSTRAP=1`."
            .to_owned(),
        header: header.map(str::to_owned).into(),
        rows: FUNCTIONS.iter().enumerate().map(row).collect(),
        bars: None,
    }
}

/// For each function lines and bytes beyond its body.
fn sizes(
    crates: &Crates,
    way: Way,
    attribute: impl Fn(&Function) -> Option<String>,
) -> Vec<Option<(usize, usize)>> {
    let mut text = String::from("fn main() {}\n");
    for (number, function) in FUNCTIONS.iter().enumerate() {
        if let Some(attribute) = attribute(function) {
            let item = format!("#[{attribute}] {}", function.text);
            text.push_str(&format!(
                "mod function_{number} {{ {} }}\n",
                place(function, &item)
            ));
        }
    }
    let modules = expand(crates, way, &text).items.into_iter();
    let mut modules: HashMap<_, _> = modules
        .filter_map(|item| match item {
            Item::Mod(module) => Some((module.ident.to_string(), module.content?.1)),
            _ => None,
        })
        .collect();
    let size = |(number, function): (usize, &Function)| {
        let printed = print(modules.remove(&format!("function_{number}"))?);
        let frame = print(parse(&place(function, "")).items);
        let body = body(function);
        Some((
            printed.lines().count() - frame.lines().count() - body.lines().count(),
            printed.len() - frame.len() - body.len(),
        ))
    };
    FUNCTIONS.iter().enumerate().map(size).collect()
}

fn place(function: &Function, item: &str) -> String {
    match function.is_method {
        true => format!("impl Users {{ {item} }}"),
        false => item.to_owned(),
    }
}

/// The statements of a function, as they are printed inside it.
fn body(function: &Function) -> String {
    let whole = print(parse(&place(function, function.text)).items);
    let mut emptied = parse(&place(function, function.text));
    for item in &mut emptied.items {
        match item {
            Item::Fn(function) => function.block.stmts.clear(),
            Item::Impl(methods) => methods.items.iter_mut().for_each(|item| {
                if let ImplItem::Fn(method) = item {
                    method.block.stmts.clear();
                }
            }),
            _ => {}
        }
    }
    // An empty block is `{}` on one line.
    let without = print(emptied.items).lines().count() + 1;
    let signature = whole
        .lines()
        .take_while(|line| !line.ends_with('{') || line.starts_with("impl"))
        .count()
        + 1;
    let count = whole.lines().count() - without;
    whole
        .lines()
        .skip(signature)
        .take(count)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn parse(text: &str) -> File {
    syn::parse_file(text).expect("functions that Rust has")
}

fn print(items: Vec<Item>) -> String {
    prettyplease::unparse(&File {
        shebang: None,
        attrs: Vec::new(),
        items,
    })
}

/// What the compiler makes of `text`, which uses what the crate of `way` uses.
fn expand(crates: &Crates, way: Way, text: &str) -> File {
    let examples = crates.directory.join(way.package()).join("examples");
    fs::create_dir_all(&examples).expect("a directory to write to");
    fs::write(examples.join("options.rs"), text).expect("a directory to write to");
    let output = cargo(crates)
        .env("RUSTC_BOOTSTRAP", "1")
        .args([
            "rustc",
            "--quiet",
            "--package",
            way.package(),
            "--example",
            "options",
        ])
        .args(["--", "-Zunpretty=expanded"])
        // What the functions name is nowhere: it says so after it has expanded them.
        .stderr(Stdio::null())
        .output()
        .expect("cargo starts");
    let expanded = String::from_utf8(output.stdout).expect("Rust is UTF-8");
    assert!(
        expanded.contains("mod function_0"),
        "nothing was expanded:\n{expanded}"
    );
    parse(&expanded)
}
