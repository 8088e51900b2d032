//! Crates of many cached functions, each as one contender's users write them.
//!
//! **The bodies are the same, word for word**; what differs is what stands around them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// How a crate caches its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// redis-rs and serde_json, by two helpers.
    ByHand,
    /// `#[redis_cached]`.
    RedisCached,
    /// `#[concurrent_cached(redis = true)]` of `cached`.
    Cached,
    /// Not at all.
    Bodies,
}

impl Way {
    /// The one that all are compared with comes first.
    pub(super) const ALL: [Self; 4] = [Self::ByHand, Self::RedisCached, Self::Cached, Self::Bodies];

    /// As it is written in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ByHand => "redis-rs by hand",
            Self::RedisCached => "#[redis_cached]",
            Self::Cached => "cached",
            Self::Bodies => "the bodies alone",
        }
    }

    /// The generated package.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::ByHand => "by-hand",
            Self::RedisCached => "redis-cached",
            Self::Cached => "cached-macro",
            Self::Bodies => "bodies",
        }
    }

    fn dependencies(self, root: &Path) -> String {
        match self {
            Self::ByHand => {
                "redis = { version = \"1\", default-features = false, features = [\"aio\", \"tokio-comp\"] }\nserde_json = \"1\"\n".to_owned()
            }
            Self::RedisCached => {
                format!("cache-runtime = {{ path = {:?} }}\n", root.join("cache-runtime"))
            }
            Self::Cached => "cached = { version = \"4.1\", features = [\"redis_tokio\"] }\n".to_owned(),
            Self::Bodies => String::new(),
        }
    }

    fn imports(self) -> &'static str {
        match self {
            Self::ByHand => "mod cache;\n",
            Self::RedisCached => "use cache_runtime::redis_cached;\n",
            Self::Cached => "use cached::macros::concurrent_cached;\n",
            Self::Bodies => "",
        }
    }
}

/// What a function returns, and where it stands.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Plain,
    Option,
    Result,
    ResultOfOption,
    Method,
}

/// One function of the crates.
struct Function {
    number: usize,
    shape: Shape,
    /// Called with a `tenant: &str` too.
    tenant: bool,
    /// Answers with an older value for a minute, and refreshes it behind the call.
    stale: bool,
    value: &'static str,
}

impl Function {
    fn new(number: usize) -> Self {
        use Shape::{Method, Option, Plain, Result, ResultOfOption};
        Self {
            number,
            shape: [Plain, Option, Result, ResultOfOption, Method][number % 5],
            tenant: number % 2 == 1,
            stale: number % 10 == 7,
            value: ["User", "Order", "Product", "Invoice"][number % 4],
        }
    }

    fn is_method(&self) -> bool {
        matches!(self.shape, Shape::Method)
    }

    fn parameters(&self) -> String {
        let receiver = if self.is_method() { "&self, " } else { "" };
        let tenant = if self.tenant { "tenant: &str, " } else { "" };
        format!("{receiver}{tenant}id: u64")
    }

    fn arguments(&self) -> &'static str {
        if self.tenant { "tenant, id" } else { "id" }
    }

    fn returns(&self, way: Way) -> String {
        let value = self.value;
        match (self.shape, way) {
            // In Redis it caches what can fail, and nothing else.
            (Shape::Plain, Way::Cached) => format!("Result<{value}, Error>"),
            (Shape::Option, Way::Cached) => format!("Result<Option<{value}>, Error>"),
            (Shape::Plain, _) => value.to_owned(),
            (Shape::Option, _) => format!("Option<{value}>"),
            (Shape::Result | Shape::Method, _) => format!("Result<{value}, Error>"),
            (Shape::ResultOfOption, _) => format!("Result<Option<{value}>, Error>"),
        }
    }

    fn body(&self, way: Way) -> String {
        let Self { value, number, .. } = self;
        let made = format!("{value} {{ id, name, active: true }}");
        let row = match self.tenant {
            true => "row(tenant, id).await".to_owned(),
            false => format!("row(\"table_{number}\", id).await"),
        };
        match (self.shape, way) {
            (Shape::Plain, Way::Cached) => {
                format!("let name = {row}.unwrap_or_default();\n    Ok({made})")
            }
            (Shape::Plain, _) => format!("let name = {row}.unwrap_or_default();\n    {made}"),
            (Shape::Option, Way::Cached) => {
                format!("let name = {row}.unwrap_or_default();\n    Ok(Some({made}))")
            }
            (Shape::Option, _) => format!("let name = {row}.ok()?;\n    Some({made})"),
            (Shape::Result | Shape::Method, _) => format!("let name = {row}?;\n    Ok({made})"),
            (Shape::ResultOfOption, _) => {
                format!("let name = {row}?;\n    Ok((!name.is_empty()).then_some({made}))")
            }
        }
    }

    /// The function as the crate has it.
    fn text(&self, way: Way) -> String {
        let attribute = self.attribute(way);
        let (number, parameters) = (self.number, self.parameters());
        let (returns, body) = (self.returns(way), self.body(way));
        let function = if way == Way::ByHand {
            let around = self.by_hand();
            format!(
                "pub async fn load_{number}({parameters}) -> {returns} {{\n{around}}}\n\
                 async fn load_{number}_from_source({}) -> {returns} {{\n    {body}\n}}\n",
                parameters.replace("&self, ", ""),
            )
        } else {
            format!(
                "{attribute}pub async fn load_{number}({parameters}) -> {returns} {{\n    {body}\n}}\n"
            )
        };
        if self.is_method() {
            format!("impl Repository {{\n{function}}}\n")
        } else {
            function
        }
    }

    fn attribute(&self, way: Way) -> String {
        match way {
            Way::ByHand | Way::Bodies => String::new(),
            Way::RedisCached => {
                let stale = if self.stale {
                    ", stale_while_revalidate = \"1m\""
                } else {
                    ""
                };
                let skip = if self.is_method() { ", skip(self)" } else { "" };
                format!("#[redis_cached(ttl = 300{stale}{skip})]\n")
            }
            Way::Cached => {
                let place = if self.is_method() {
                    ", in_impl = true"
                } else {
                    ""
                };
                let key = match self.tenant {
                    true => ", key = \"String\", convert = { format!(\"{tenant}:{id}\") }",
                    false => "",
                };
                format!(
                    "#[concurrent_cached(redis = true, ttl_secs = 300, cache_prefix_block = {{ \"load_{}\" }}{place}{key}, map_error = |e| Error(e.to_string()))]\n",
                    self.number
                )
            }
        }
    }

    /// Get, decode, run, set.
    fn by_hand(&self) -> String {
        let number = self.number;
        let arguments = self.arguments();
        let key = match self.tenant {
            true => format!("format!(\"shop:load_{number}:{{tenant}}:{{id}}\")"),
            false => format!("format!(\"shop:load_{number}:{{id}}\")"),
        };
        let source = match self.is_method() {
            true => format!("Self::load_{number}_from_source({arguments}).await"),
            false => format!("load_{number}_from_source({arguments}).await"),
        };
        if self.stale {
            return self.by_hand_stale(&key, &source);
        }
        let (hit, value, store, answer) = match self.shape {
            Shape::Plain => ("hit", source, "&value", "value"),
            Shape::Option => ("Some(hit)", format!("{source}?"), "&value", "Some(value)"),
            Shape::Result | Shape::Method => {
                ("Ok(hit)", format!("{source}?"), "&value", "Ok(value)")
            }
            Shape::ResultOfOption => ("Ok(Some(hit))", format!("{source}?"), "value", "Ok(value)"),
        };
        let set = format!("cache::set(&key, {store}, 300).await;");
        let set = match self.shape {
            Shape::ResultOfOption => {
                format!("if let Some(value) = &value {{\n        {set}\n    }}")
            }
            _ => set,
        };
        format!(
            "    let key = {key};\n    if let Some(hit) = cache::get(&key).await {{\n        return {hit};\n    }}\n    \
             let value = {value};\n    {set}\n    {answer}\n"
        )
    }

    fn by_hand_stale(&self, key: &str, source: &str) -> String {
        let (tenant, again) = match self.tenant {
            true => (
                "let tenant = tenant.to_owned(); ",
                source.replace("tenant,", "&tenant,"),
            ),
            false => ("", source.to_owned()),
        };
        format!(
            "    let key = {key};\n    match cache::get_with_age(&key).await {{\n        \
             Some((hit, age)) if age < 300 => return Ok(hit),\n        \
             Some((hit, _)) => {{\n            {tenant}cache::refresh(key, 300, 60, async move {{ {again} }});\n            \
             return Ok(hit);\n        }}\n        None => {{}}\n    }}\n    \
             let value = {source}?;\n    cache::set_with_age(&key, &value, 360).await;\n    Ok(value)\n"
        )
    }

    /// The function's future, driven by nobody, so that a build has to make its code.
    fn call(&self) -> String {
        let receiver = if self.is_method() { "Repository." } else { "" };
        let arguments = if self.tenant { "\"acme\", 1" } else { "1" };
        format!(
            "        Box::pin(async {{ drop({receiver}load_{}({arguments}).await) }}),\n",
            self.number
        )
    }
}

/// Where the crates are.
pub(super) struct Crates {
    pub(super) directory: PathBuf,
}

impl Crates {
    /// Writes a workspace of one crate for each way, with `functions` functions each.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub(super) fn write(root: &Path, directory: PathBuf, functions: usize) -> io::Result<Self> {
        let members = Way::ALL.map(Way::package);
        fs::create_dir_all(&directory)?;
        let manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[profile.release]\nstrip = true\n"
        );
        fs::write(directory.join("Cargo.toml"), manifest)?;
        fs::copy(lock_file(root), directory.join("Cargo.lock"))?;
        let crates = Self { directory };
        for way in Way::ALL {
            crates.write_one(root, way, functions)?;
        }
        Ok(crates)
    }

    fn write_one(&self, root: &Path, way: Way, functions: usize) -> io::Result<()> {
        let source = self.directory.join(way.package()).join("src");
        fs::create_dir_all(&source)?;
        let manifest = format!(
            "[package]\nname = {:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\ntokio = {{ version = \"1\", features = [\"rt\", \"time\"] }}\n{}",
            way.package(),
            way.dependencies(root),
        );
        fs::write(
            self.directory.join(way.package()).join("Cargo.toml"),
            manifest,
        )?;
        fs::write(source.join("source.rs"), SOURCE)?;
        if way == Way::ByHand {
            fs::write(source.join("cache.rs"), CACHE_BY_HAND)?;
        }
        fs::write(source.join("main.rs"), program(way))?;
        fs::write(self.library(way), library(way, functions))
    }

    /// Changes the body of one function, to another text in each round.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    ///
    /// # Panics
    ///
    /// Where the crate has no such function.
    pub(super) fn edit(&self, way: Way, round: usize) -> io::Result<()> {
        let library = self.library(way);
        let text = fs::read_to_string(&library)?;
        let (before, after) = text
            .split_once(EDITED)
            .expect("a function that reads this table");
        let (_, after) = after.split_once('"').expect("the end of its name");
        fs::write(library, format!("{before}{EDITED}, round {round}\"{after}"))
    }

    /// The file that is touched.
    pub(super) fn library(&self, way: Way) -> PathBuf {
        self.directory.join(way.package()).join("src/lib.rs")
    }
}

/// The lock file that this benchmark was built with: all that is in it is on this machine.
fn lock_file(root: &Path) -> PathBuf {
    let own = root.join("benches/Cargo.lock");
    if own.exists() {
        own
    } else {
        root.join("Cargo.lock")
    }
}

/// Runs every call, so that their code is in the program.
fn program(way: Way) -> String {
    let library = way.package().replace('-', "_");
    format!(
        "fn main() {{\n    let runtime = tokio::runtime::Builder::new_current_thread().build().expect(\"a runtime\");\n    \
         for call in {library}::all() {{\n        runtime.block_on(call);\n    }}\n}}\n"
    )
}

fn library(way: Way, functions: usize) -> String {
    let functions: Vec<_> = (0..functions).map(Function::new).collect();
    let mut text = format!(
        "{}mod source;\nuse std::{{future::Future, pin::Pin}};\nuse crate::source::{{Error, Invoice, Order, Product, Repository, User, row}};\n\n",
        way.imports()
    );
    for function in &functions {
        text.push_str(&function.text(way));
    }
    let calls: String = functions.iter().map(Function::call).collect();
    let _ = write!(
        text,
        "pub fn all() -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {{\n    vec![\n{calls}    ]\n}}\n"
    );
    text
}

/// What the function that is edited reads: one that returns a `Result`, and has no options.
const EDITED: &str = "\"table_12";

/// What all of the crates load.
const SOURCE: &str = include_str!("source.txt");

/// The helpers of the crate by hand.
const CACHE_BY_HAND: &str = include_str!("cache_by_hand.txt");
