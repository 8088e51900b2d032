//! Redis 7.2 and later can lose the answer to a refused `AUTH` that other commands go before, and each later
//! answer is then the next caller's (redis #15640).

use std::time::Duration;

use cache_tests::proxy::{Answer, Login};
use cache_tests::{eventually, wait::SOON};

use crate::load::{Commands, Load, Reads, store_values};
use crate::site::{on_each, send, until};

#[tokio::test]
async fn p9_not_one_reply_is_anothers_while_the_server_refuses_each_new_token() {
    on_each(Duration::from_secs(8), async |site| {
        let cache = site.cache();
        store_values(&cache, 32).await;
        let connection = cache.connection().unwrap();
        send::<String>(&connection, &["PING"]).await.unwrap();
        let reads = Load::start(32, |id| Reads(cache.clone(), id));
        let commands = Load::start(32, |id| Commands(connection.clone(), id));
        site.azure.refuse_logins(true).await;
        // Each connection offers each token, and some of them again.
        eventually("logins", SOON, async || site.new_logins().len() >= 6).await;
        until(site.end_of(0) - Duration::from_millis(1500)).await;
        let (reads, commands) = tokio::join!(reads.went_well(), commands.went_well());
        assert!(
            reads > 1000 && commands > 1000,
            "{reads} and {commands} calls"
        );
        let refused = |login: &Login| login.answer == Some(Answer::Refused) && !login.in_place;
        let logins = site.new_logins();
        assert!(
            logins.iter().filter(|login| refused(login)).count() >= 6,
            "{logins:?}"
        );
        assert!(site.provider.issued().len() >= 3);
        site.no_failures();
    })
    .await;
}
