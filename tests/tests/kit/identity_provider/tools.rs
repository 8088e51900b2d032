//! The stand-ins for `az` and `azd`.

use std::process::{Command, Output, Stdio};

use cache_tests::identity_provider::{Reply, Source};
use cache_tests::wait::SOON;
use cache_tests::{IdentityProvider, eventually, within};
use serde_json::Value;

use super::{SCOPE, only, token};

fn tool(provider: &IdentityProvider, line: &str) -> Command {
    let path = format!(
        "{}:{}",
        provider.tools().display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(super) fn az(provider: &IdentityProvider) -> Output {
    let line = format!("az account get-access-token -o json --scope {SCOPE}");
    tool(provider, &line).output().unwrap()
}

fn azd(provider: &IdentityProvider) -> Output {
    let line = format!("azd auth token -o json --no-prompt --scope {SCOPE}");
    tool(provider, &line).output().unwrap()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_tools_print_what_the_real_ones_print_also_without_a_runtime() {
    let provider = IdentityProvider::start();
    let printed = az(&provider);
    assert!(printed.status.success(), "{}", stderr(&printed));
    let answer: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let issued = only(provider.source(Source::AzureCli).issued());
    assert_eq!(answer["accessToken"], issued.token);
    assert_eq!(answer["expires_on"], issued.expires_on());

    let printed = azd(&provider);
    let answer: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let issued = only(provider.source(Source::AzureDeveloperCli).issued());
    assert_eq!(answer["token"], issued.token);

    provider.refuse();
    let (printed, printed_by_azd) = (az(&provider), azd(&provider));
    assert_eq!(
        stderr(&printed),
        "ERROR: Please run 'az login' to setup account.\n"
    );
    assert_eq!(
        (printed.status.code(), printed_by_azd.status.code()),
        (Some(1), Some(1))
    );
    let line: Value = serde_json::from_slice(&printed_by_azd.stderr).unwrap();
    assert!(
        line["data"]["message"]
            .as_str()
            .unwrap()
            .contains("azd auth login")
    );

    provider.garbage();
    let printed = az(&provider);
    assert!(printed.status.success());
    assert!(serde_json::from_slice::<Value>(&printed.stdout).is_err());
    provider.answer(Reply::status(400).body("AADSTS50076: use multi-factor authentication"));
    assert!(stderr(&az(&provider)).contains("AADSTS50076"));
    assert_eq!(provider.source(Source::AzureCli).requests(), 4);

    let printed = tool(&provider, "az account show").output().unwrap();
    assert_eq!(printed.status.code(), Some(2));
    assert_eq!(provider.requests(), 6);
}

#[tokio::test]
async fn a_tool_that_hangs_is_under_way_until_its_process_ends() {
    let provider = IdentityProvider::start();
    provider.hang();
    let line = format!("az account get-access-token -o json --scope {SCOPE}");
    let mut launcher = tool(&provider, &line).spawn().unwrap();
    provider.wait_for_requests(1).await;
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    // Its child has been left behind, as a real one would be.
    let pid = provider.asked()[0].pid.unwrap();
    assert_eq!(provider.in_progress(), 1);
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("the process to be seen as ended", SOON, async || {
        provider.in_progress() == 0
    })
    .await;
    provider.well();
    for _ in 0..5 {
        assert!(az(&provider).status.success());
    }
    assert_eq!(provider.concurrent_max(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_provider_that_is_dropped() {
    let provider = IdentityProvider::start();
    provider.hang();
    let line = format!("azd auth token -o json --scope {SCOPE}");
    let azd = tokio::process::Command::from(tool(&provider, &line)).spawn();
    let client = provider.credential("app");
    let asking = tokio::spawn(async move { token(&client).await });
    provider.wait_for_requests(2).await;
    let (folder, url) = (
        provider.tools().to_owned(),
        provider.url_of_managed_identity(),
    );
    drop(provider);
    asking.await.unwrap().unwrap_err();
    let ended = azd.unwrap().wait_with_output();
    let ended = within("the tool's end", SOON, ended).await.unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", stderr(&ended));
    assert!(!folder.exists());
    let address = url::Url::parse(&url).unwrap().port().unwrap();
    std::net::TcpStream::connect(("127.0.0.1", address)).unwrap_err();
}
