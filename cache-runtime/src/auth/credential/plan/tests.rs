use super::*;
use crate::error::ErrorKind;

fn plan(variables: &[(&str, &str)]) -> Plan {
    read(variables).expect("a plan")
}

fn read(variables: &[(&str, &str)]) -> Result<Plan, Error> {
    Plan::from_environment(&|name| {
        let (_, value) = variables.iter().find(|(variable, _)| *variable == name)?;
        Some(OsString::from(value))
    })
}

fn names(variables: &[(&str, &str)]) -> Vec<&'static str> {
    let names = plan(variables).candidates;
    names.into_iter().map(|candidate| candidate.name).collect()
}

/// Why the credential is not asked, or `None` if it is.
fn reason(name: &str, variables: &[(&str, &str)]) -> Option<String> {
    source(name, variables).err()
}

fn source(name: &str, variables: &[(&str, &str)]) -> Result<CredentialSource, String> {
    let mut candidates = plan(variables).candidates.into_iter();
    let candidate = candidates.find(|candidate| candidate.name == name);
    candidate.expect("a candidate").source
}

const ENVIRONMENT: &str = "EnvironmentCredential";
const WORKLOAD: &str = "WorkloadIdentityCredential";
const MANAGED: &str = "ManagedIdentityCredential";
const CLI: &str = "AzureCliCredential";
const AZD: &str = "AzureDeveloperCliCredential";

const TENANT: (&str, &str) = ("AZURE_TENANT_ID", "a-tenant");
const CLIENT: (&str, &str) = ("AZURE_CLIENT_ID", "a-client");
const SECRET: (&str, &str) = ("AZURE_CLIENT_SECRET", "s3cr3t");
const CERTIFICATE: (&str, &str) = ("AZURE_CLIENT_CERTIFICATE_PATH", "/a.pem");

#[test]
fn the_chain_has_the_sdks_order() {
    assert_eq!(names(&[]), [ENVIRONMENT, WORKLOAD, MANAGED, CLI, AZD]);
}

#[test]
fn a_word_narrows_the_chain_in_any_case() {
    for (word, chain) in [
        ("prod", &[ENVIRONMENT, WORKLOAD, MANAGED][..]),
        ("DEV", &[CLI, AZD]),
        ("environmentcredential", &[ENVIRONMENT]),
        ("WorkloadIdentityCredential", &[WORKLOAD]),
        ("MANAGEDIDENTITYCREDENTIAL", &[MANAGED]),
        ("AzureCliCredential", &[CLI]),
        (" AzureDeveloperCliCredential ", &[AZD]),
        ("", &[ENVIRONMENT, WORKLOAD, MANAGED, CLI, AZD]),
    ] {
        assert_eq!(names(&[(NARROWING, word)]), chain, "{word:?}");
    }
}

#[test]
fn an_unknown_word_is_refused_with_those_that_are_known() {
    let error = read(&[(NARROWING, "VisualStudioCredential")]).expect_err("no such credential");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "`AZURE_TOKEN_CREDENTIALS` is \"VisualStudioCredential\", which is no credential here; \
         write `prod`, `dev`, or one of `EnvironmentCredential`, `WorkloadIdentityCredential`, \
         `ManagedIdentityCredential`, `AzureCliCredential`, `AzureDeveloperCliCredential`"
    );
}

#[test]
fn what_is_missing_is_named() {
    for (name, variables, text) in [
        (
            ENVIRONMENT,
            &[][..],
            "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH) are not set",
        ),
        (
            ENVIRONMENT,
            &[TENANT, CLIENT],
            "AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH) is not set",
        ),
        (
            ENVIRONMENT,
            &[TENANT, CLIENT, ("AZURE_CLIENT_SECRET", "")],
            "AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH) is not set",
        ),
        (ENVIRONMENT, &[TENANT, SECRET], "AZURE_CLIENT_ID is not set"),
        (
            ENVIRONMENT,
            &[CERTIFICATE],
            "AZURE_TENANT_ID and AZURE_CLIENT_ID are not set",
        ),
        (
            WORKLOAD,
            &[TENANT, CLIENT, SECRET],
            "AZURE_FEDERATED_TOKEN_FILE is not set",
        ),
    ] {
        assert_eq!(
            reason(name, variables).as_deref(),
            Some(text),
            "{variables:?}"
        );
    }
}

#[test]
fn a_secret_goes_before_a_certificate() {
    let variables = [TENANT, CLIENT, SECRET, CERTIFICATE];
    let source = source(ENVIRONMENT, &variables);
    assert!(
        matches!(source, Ok(CredentialSource::ClientSecret { .. })),
        "{source:?}"
    );
    assert!(!format!("{:?}", plan(&variables)).contains("s3cr3t"));
}

#[test]
fn a_certificate_has_its_settings() {
    for (word, expected) in [("1", true), ("TRUE", true), ("0", false), ("", false)] {
        let chain = ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", word);
        match source(ENVIRONMENT, &[TENANT, CLIENT, CERTIFICATE, chain]) {
            Ok(CredentialSource::ClientCertificate {
                principal,
                file,
                send_chain,
            }) => {
                assert_eq!(send_chain, expected, "{word}");
                assert_eq!(file, PathBuf::from("/a.pem"));
                assert_eq!(principal.authority.as_str(), PUBLIC_CLOUD);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_certificate_with_a_password_says_how_to_decrypt_it() {
    let password = ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "s3cr3t");
    let why = reason(ENVIRONMENT, &[TENANT, CLIENT, CERTIFICATE, password]).expect("a reason");
    assert!(
        why.contains("openssl pkcs12 -in FILE -out NEW_FILE -nodes"),
        "{why}"
    );
    assert!(!why.contains("s3cr3t"));
    // A secret does not need it.
    assert_eq!(
        reason(ENVIRONMENT, &[TENANT, CLIENT, SECRET, password]),
        None
    );
}

#[test]
fn an_authority_is_reached_over_https_only() {
    let host = |value| [TENANT, CLIENT, SECRET, ("AZURE_AUTHORITY_HOST", value)];
    match source(ENVIRONMENT, &host("https://login.microsoftonline.us")) {
        Ok(CredentialSource::ClientSecret { principal, .. }) => {
            assert_eq!(
                principal.authority.as_str(),
                "https://login.microsoftonline.us/"
            );
        }
        other => panic!("{other:?}"),
    }
    for host in [host("http://127.0.0.1:1"), host("login.microsoftonline.us")] {
        let why = reason(ENVIRONMENT, &host);
        let expected = "AZURE_AUTHORITY_HOST is no `https://` address";
        assert_eq!(why.as_deref(), Some(expected), "{host:?}");
    }
}

#[test]
fn a_managed_identity_is_the_systems_or_the_one_with_the_client_id() {
    let header = ("IDENTITY_HEADER", "a header");
    for (variables, expected, id) in [
        (&[][..], IdentityEndpoint::Metadata, None),
        (&[CLIENT], IdentityEndpoint::Metadata, Some("a-client")),
        (
            &[("IDENTITY_ENDPOINT", "http://127.0.0.1:1/"), header],
            IdentityEndpoint::Named { has_tls: false },
            None,
        ),
        (
            &[("IDENTITY_ENDPOINT", "https://127.0.0.1:1/"), header],
            IdentityEndpoint::Named { has_tls: true },
            None,
        ),
        (
            &[("IDENTITY_ENDPOINT", "http://127.0.0.1:1/")],
            IdentityEndpoint::Metadata,
            None,
        ),
    ] {
        match source(MANAGED, variables) {
            Ok(CredentialSource::ManagedIdentity { client, endpoint }) => {
                assert_eq!(client.as_deref(), id, "{variables:?}");
                assert_eq!(endpoint, expected, "{variables:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_secret_is_known() {
    let plan = plan(&[
        SECRET,
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "a password"),
        ("IDENTITY_HEADER", "a header"),
    ]);
    let secrets: Vec<_> = plan.secrets.iter().map(Secret::expose).collect();
    assert_eq!(secrets, ["s3cr3t", "a password", "a header"]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let error = Plan::from_environment(&|name| {
        (name == "AZURE_TENANT_ID").then(|| OsString::from_vec(vec![0xff]))
    })
    .expect_err("no UTF-8");
    assert_eq!(
        error.to_string(),
        "`AZURE_TENANT_ID` is not UTF-8; write it in UTF-8"
    );
}
