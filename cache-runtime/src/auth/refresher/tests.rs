use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};

use crate::auth::{login::EntraLogin, refresher::Refresher};

#[derive(Debug)]
struct Always;

#[async_trait::async_trait]
impl TokenCredential for Always {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let expires = SystemTime::now() + Duration::from_secs(3600);
        Ok(AccessToken::new("a token", expires.into()))
    }
}

#[test]
fn who_takes_the_token_and_who_has_news_of_it_never_wait_for_each_other() {
    let credential: Arc<dyn TokenCredential> = Arc::new(Always);
    let settings = EntraLogin {
        username: None,
        scope: "a scope".to_owned(),
        margin: Duration::from_secs(300),
        credential: Some(credential.into()),
    };
    let refresher = Arc::new(Refresher::new(settings, Arc::default()).unwrap());
    let (done, is_done) = mpsc::channel();
    // Threads of their own: those that wait for each other cannot be joined.
    let taker = (Arc::clone(&refresher), done);
    thread::spawn(move || {
        let (refresher, done) = taker;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for _ in 0..200_000 {
                refresher.current().await.unwrap();
            }
        });
        done.send(()).unwrap();
    });
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            refresher.tokens().rest();
        }
    });
    let taken = is_done.recv_timeout(Duration::from_secs(30));
    is_over.store(true, Ordering::Relaxed);
    taken.expect("the taker of tokens does not wait for ever");
}
