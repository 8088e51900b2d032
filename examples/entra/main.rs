//! A service on Azure, and what becomes of its login: tokens of Entra ID that are renewed while calls go on.
//!
//! ```text
//! REDIS_HOST=shop.redis.cache.windows.net cargo run --example entra    # until Ctrl-C
//! cargo run --example entra -- --local      # without Azure: 45 seconds with tokens that live 20
//! ```
//!
//! | argument | |
//! |---|---|
//! | `--local` | starts an identity provider and a Redis on this machine, and then itself, as if it ran on Azure |
//! | `--seconds N` | ends after so long. Default: at Ctrl-C; with `--local` after 45 s |
//! | `--every N` | the seconds between two lines. Default: 5; with `--local` 1 |
//! | `--life N` | how many seconds the tokens of `--local` live, at least 4. Default: 20 |
//!
//! What a service does is in `service.rs`, what Azure does in `local.rs`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // what an example is for

mod latency;
mod load;
mod local;
mod service;

use std::{env, process::ExitCode, time::Duration};

/// What stands on the command line.
#[derive(Debug, Default)]
struct Options {
    local: bool,
    seconds: Option<Duration>,
    every: Option<Duration>,
    life: Option<Duration>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let (name, least) = match argument.as_str() {
                "--local" => {
                    options.local = true;
                    continue;
                }
                "--seconds" => (&mut options.seconds, 1),
                "--every" => (&mut options.every, 1),
                // Clients hear of the end in whole seconds, rounded down.
                "--life" => (&mut options.life, 4),
                _ => {
                    return Err(format!(
                        "unknown argument `{argument}`; there are --local, --seconds N, --every N \
                         and, with --local, --life N"
                    ));
                }
            };
            let number = arguments.next().and_then(|text| text.parse().ok());
            let number = number.filter(|number| (least..=NUMBER_MAX).contains(number));
            let number = number.ok_or_else(|| {
                format!("`{argument}` needs a number; write whole seconds, {least} or more")
            })?;
            *name = Some(Duration::from_secs(number));
        }
        if options.life.is_some() && !options.local {
            return Err("`--life` is for tokens of `--local`; add that, or remove this".to_owned());
        }
        Ok(options)
    }
}

/// Three years in seconds: all clocks can count so far.
const NUMBER_MAX: u64 = 100_000_000;

const NOTHING_TO_DO: &str = "\
no Redis is given; type: REDIS_HOST=NAME.redis.cache.windows.net cargo run --example entra (Azure Managed Redis needs REDIS_PORT=10000, too)
or without Azure, on this machine alone:  cargo run --example entra -- --local";

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Options::parse(env::args().skip(1)) {
        Err(why) => Err(why),
        Ok(options) if options.local => local::run(&options).await,
        // An empty variable is one that is not set.
        Ok(options) if env::var_os("REDIS_HOST").is_some_and(|host| !host.is_empty()) => {
            service::run(&options).await
        }
        Ok(_) => Err(NOTHING_TO_DO.to_owned()),
    };
    ended.unwrap_or_else(|why| {
        eprintln!("{why}");
        ExitCode::FAILURE
    })
}
