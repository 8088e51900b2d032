//! What Azure does, on this machine: an identity provider, and a Redis that withdraws each token when it expires.
//!
//! The one rule: **the service cannot tell the difference.** It is this program again, in a process
//! whose environment says where Redis and its identity are, and nobody but 127.0.0.1 is asked for anything.

use std::{
    env, io,
    path::Path,
    process::{self, ExitCode, ExitStatus, Stdio},
    time::{Duration, SystemTime},
};

use cache_tests::{AzureRedis, IdentityProvider, identity_provider::Source, proxy::Answer};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    select,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    time::timeout,
};

use crate::Options;

/// How long the service may take to end after Ctrl-C.
const GOODBYE: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: &Options) -> Result<ExitCode, String> {
    look_for_redis_server()?;
    let life = options.life.unwrap_or(Duration::from_secs(20));
    let redis = AzureRedis::start().await;
    let provider = IdentityProvider::builder().life(life).start();
    let grants = redis.grants();
    provider.on_issue(move |issued| {
        let user = issued.oid.as_deref().unwrap_or("default");
        grants.grant(user, &issued.token, issued.expires)
    });
    println!(
        "An App Service's managed identity is at {}, a Redis with TLS at 127.0.0.1:{}.\n\
         Tokens live {}. At its end each is withdrawn, and connections that still use it are closed.",
        provider.url_of_managed_identity(),
        redis.port(),
        humantime::format_duration(life),
    );

    let unstartable = |error| format!("this program cannot be started again: {error}");
    let this = env::current_exe().map_err(unstartable)?;
    let mut service = service(&this, options, &redis, &provider)
        .spawn()
        .map_err(unstartable)?;
    let status = ended(&mut service)
        .await
        .map_err(|error| format!("cannot wait for the service: {error}"))?;

    let now = SystemTime::now();
    let issued = provider.issued();
    let withdrawn = issued.iter().filter(|issued| issued.expires <= now);
    let logins = redis.proxy().logins();
    let refused = logins
        .iter()
        .filter(|login| login.answer == Some(Answer::Refused));
    println!(
        "Redis took {} tokens, of which {} have ended and were withdrawn. It refused {} logins, and saw {} connections, \
         at most {} at once.\nThe identity provider was asked {} times, at most {} at once.",
        redis.rotations(),
        withdrawn.count(),
        refused.count(),
        redis.proxy().connections(),
        redis.proxy().most_connections(),
        provider.requests(),
        provider.concurrent_max(),
    );
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The kit panics where there is none; one line will do here.
fn look_for_redis_server() -> Result<(), String> {
    let found = process::Command::new("redis-server")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(
            "redis-server is missing; install it (Debian: apt-get install redis-server), or type: bash .ci/test"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// This program as a service, with nothing in its environment that leads elsewhere.
fn service(
    this: &Path,
    options: &Options,
    redis: &AzureRedis,
    provider: &IdentityProvider,
) -> Command {
    let mut command = Command::new(this);
    for (name, _) in env::vars_os() {
        let bytes = name.as_encoded_bytes();
        let leads = ["REDIS_", "AZURE_", "IDENTITY_", "IMDS_", "MSI_"];
        if leads
            .iter()
            .any(|start| bytes.starts_with(start.as_bytes()))
            && name != "REDIS_TIMEOUT"
        {
            command.env_remove(name);
        }
    }
    let seconds = options.seconds.unwrap_or(Duration::from_secs(45));
    let every = options.every.unwrap_or(Duration::from_secs(1));
    command
        .args(["--seconds", &seconds.as_secs().to_string()])
        .args(["--every", &every.as_secs().to_string()])
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_AUTH", "entra")
        .env("REDIS_PORT", redis.port().to_string())
        .env("REDIS_TLS_CA", redis.ca_path())
        .envs(provider.environment(Source::ManagedIdentity, None))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Waits for the service, which has a summary to print also when it is ended early.
async fn ended(service: &mut Child) -> io::Result<ExitStatus> {
    let mut terminated = signal(SignalKind::terminate())?;
    select! {
        status = service.wait() => return status,
        pressed = ctrl_c() => pressed?,
        _ = terminated.recv() => {}
    }
    // A terminal has told both processes, but others tell this one alone.
    if let Some(id) = service.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It fails only for a process that has ended.
        let _ = kill_process(id, Signal::INT);
    }
    match timeout(GOODBYE, service.wait()).await {
        Ok(status) => status,
        Err(_) => {
            service.kill().await?;
            service.wait().await
        }
    }
}
