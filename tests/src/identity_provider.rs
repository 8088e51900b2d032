//! An identity provider on this machine, for the real clients of Azure's.
//!
//! | means | way |
//! |---|---|
//! | managed identity | the App Service protocol, over http |
//! | client secret, client certificate, workload identity | Entra ID's token endpoint, over https |
//! | Azure CLI, Azure Developer CLI | a stand-in `az` and `azd` |
//!
//! Every fault is one that the real ones can show. What a test says of all identities it says to the
//! provider itself; [`identity`](IdentityProvider::identity) and [`source`](IdentityProvider::source) are for
//! one, or for one means. It checks secrets as the real one does, and knows every client id.

mod assertion;
mod behaviour;
mod client;
mod environment;
mod http;
mod identities;
mod issued;
mod shared;
mod tools;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::behaviour::Whom;
pub use self::behaviour::{Reply, Source};
pub use self::client::http_client;
use self::http::Endpoint;
pub use self::identities::Identities;
pub use self::issued::Issued;
pub use self::shared::Asked;
use self::shared::Shared;
use self::tools::Tools;
use crate::background;
use crate::door::Door;
use crate::tls::{self, Tls};

/// What a provider is started with.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    life: Option<Duration>,
    oid: Option<Option<String>>,
    opaque: bool,
}

impl Builder {
    /// The life of its tokens. Default: one hour.
    pub fn life(mut self, life: Duration) -> Self {
        self.life = Some(life);
        self
    }

    /// The `oid` claim of its tokens; `None` for none. Default: one for each identity.
    pub fn oid(mut self, oid: Option<&str>) -> Self {
        self.oid = Some(oid.map(str::to_owned));
        self
    }

    /// Issues tokens that are random characters, and no JWT. Default: they are JWTs.
    pub fn opaque(mut self) -> Self {
        self.opaque = true;
        self
    }

    /// Starts the provider; when this returns, it answers.
    ///
    /// # Panics
    ///
    /// Panics where no loopback port is free or `mkfifo` is missing.
    #[must_use]
    pub fn start(self) -> IdentityProvider {
        let dir = TempDir::with_prefix("identity-").expect("a directory for temporary files");
        let tls = Tls::issue(dir.path());
        let acceptor = tls::acceptor(Path::new(&tls.certificate), Path::new(&tls.key));
        let federated_token_file = dir.path().join("federated-token");
        write_secret(&federated_token_file, &federated_token());
        let client_certificate = dir.path().join("client.pem");
        write_secret(&client_certificate, assertion::CLIENT_CERTIFICATE);

        let shared = Arc::new(Shared::new(federated_token_file));
        let cut = watch::Sender::new(());
        let http = Door::open(each_client(shared.clone(), &cut, None));
        let https = Door::open(each_client(shared.clone(), &cut, Some(acceptor)));
        let provider = IdentityProvider {
            tools: Tools::new(dir.path().join("tools"), shared.clone()),
            all: Identities {
                shared,
                whom: Whom::All,
            },
            http,
            https,
            cut,
            ca: tls.ca,
            client_certificate,
            _dir: dir,
        };
        let mut state = provider.all.shared.state();
        let manners = state.behaviours.of(&Whom::All);
        (manners.life, manners.oid) = (self.life, self.oid);
        manners.opaque = Some(self.opaque);
        drop(state);
        provider
    }
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable directory");
}

/// A service account's token as Kubernetes projects it into a pod.
fn federated_token() -> String {
    issued::jwt(&serde_json::json!({
        "aud": ["api://AzureADTokenExchange"],
        "exp": issued::unix_seconds(SystemTime::now()) + 3_600,
        "iss": "https://oidc.invalid/",
        "sub": "system:serviceaccount:default:cache-tests",
    }))
}

/// Serves each client of a door until it goes or is cut off.
fn each_client(
    shared: Arc<Shared>,
    cut: &watch::Sender<()>,
    acceptor: Option<TlsAcceptor>,
) -> impl FnMut(TcpStream) + Send + 'static {
    let cut = cut.clone();
    move |stream| {
        // Here and not in the task: whoever is let in before a cut hears of it.
        let mut cut = cut.subscribe();
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        let serving = async move {
            let Some(acceptor) = acceptor else {
                return http::serve(stream, shared, Endpoint::ManagedIdentity).await;
            };
            let url = match stream.local_addr() {
                Ok(addr) => format!("https://{addr}"),
                // The client has gone.
                Err(_) => return,
            };
            // A client that does not trust the CA says so and goes.
            if let Ok(stream) = acceptor.accept(stream).await {
                http::serve(stream, shared, Endpoint::Entra { url }).await;
            }
        };
        background::spawn(async move {
            tokio::select! {
                _ = cut.changed() => {}
                () = serving => {}
            }
        });
    }
}

/// A running provider; dropped, it ends, with all its connections and tools.
pub struct IdentityProvider {
    all: Identities,
    http: Door,
    https: Door,
    /// Ends the connections that are open now.
    cut: watch::Sender<()>,
    tools: Tools,
    ca: PathBuf,
    client_certificate: PathBuf,
    // Last: the others use it.
    _dir: TempDir,
}

impl IdentityProvider {
    /// Starts a provider of tokens that live for one hour.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The builder: `IdentityProvider::builder().life(Duration::from_secs(4)).start()`.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One identity, by its client id; `None` for the system-assigned one and for who is logged in to a tool.
    #[must_use]
    pub fn identity(&self, client_id: Option<&str>) -> Identities {
        self.only(Whom::Identity(client_id.map(str::to_owned)))
    }

    /// All identities that ask by one means.
    #[must_use]
    pub fn source(&self, source: Source) -> Identities {
        self.only(Whom::Source(source))
    }

    fn only(&self, whom: Whom) -> Identities {
        Identities {
            shared: self.shared.clone(),
            whom,
        }
    }

    /// Calls this with each new token, and awaits it before anybody has the token.
    ///
    /// Who asked may be gone meanwhile; the future is awaited to its end all the same.
    pub fn on_issue<F, Told>(&self, listener: F)
    where
        F: Fn(Issued) -> Told + Send + Sync + 'static,
        Told: Future<Output = ()> + Send + 'static,
    {
        self.shared
            .listen(Arc::new(move |issued| Box::pin(listener(issued))));
    }

    /// Stops listening and cuts every connection: when this returns, all are refused. The tools say the same.
    pub fn down(&self) {
        self.shared.state().is_down = true;
        self.http.shut();
        self.https.shut();
        self.cut.send_replace(());
    }

    /// Ends [`down`](Self::down).
    ///
    /// # Panics
    ///
    /// Panics when the ports cannot be had again.
    pub fn up(&self) {
        self.http.reopen();
        self.https.reopen();
        self.shared.state().is_down = false;
    }

    /// The tenant that it is in charge of.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.shared.tenant
    }

    /// The authority host: `https://127.0.0.1:` and a port.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("https://{}", self.https.addr())
    }

    /// The CA that signed its certificate, as a PEM file; it signs for every server of this process.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        &self.ca
    }

    /// What a managed identity shows in `X-IDENTITY-HEADER`.
    #[must_use]
    pub fn identity_header(&self) -> &str {
        &self.shared.identity_header
    }

    /// The secret of every client id.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.shared.client_secret
    }

    /// The certificate of every client id with its key, as a PEM file.
    #[must_use]
    pub fn client_certificate_path(&self) -> &Path {
        &self.client_certificate
    }

    /// The service account's token; the provider takes what is in the file when it is asked.
    #[must_use]
    pub fn federated_token_file(&self) -> &Path {
        &self.shared.federated_token_file
    }

    /// A folder for the `PATH`, with the stand-in `az` and `azd`.
    #[must_use]
    pub fn tools(&self) -> &Path {
        self.tools.folder()
    }

    /// All that must be in no log, error or counter: its secrets, and the tokens so far.
    ///
    /// # Panics
    ///
    /// Panics when a test has taken the service account's token away.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let federated = std::fs::read_to_string(self.federated_token_file());
        let mut secrets = vec![
            self.client_secret().to_owned(),
            self.identity_header().to_owned(),
            federated.expect("the service account's token"),
        ];
        let lines = assertion::CLIENT_CERTIFICATE.lines();
        let key = lines.skip(1).take_while(|line| !line.starts_with('-'));
        secrets.extend(key.map(str::to_owned));
        secrets.extend(self.issued().into_iter().map(|issued| issued.token));
        secrets
    }
}

/// What is said of all identities, and seen of them.
impl Deref for IdentityProvider {
    type Target = Identities;

    fn deref(&self) -> &Identities {
        &self.all
    }
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider")
            .field("authority", &self.authority())
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.down();
    }
}
