//! What the library caches is found again.

use std::sync::Arc;

use cache_tests_edition_2021::freshness::{
    alone, generation, generation_entry, number, typed, typed_entry, Generation, Reports,
};
use cache_tests_edition_2021::{
    find, find_entry, get_user, get_user_entry, Native, Pool, Repository, Service,
};
use renamed::Cache;

#[tokio::test]
async fn a_renamed_crate_in_edition_2021_caches() {
    let user = get_user(&Pool, 1).await.unwrap();
    assert_eq!(get_user_entry(1).get().await.unwrap(), Some(user.clone()));

    let cache = Cache::builder().in_memory().build().unwrap();
    let found = find(&cache, ("a", "b"), 1, vec![]).await;
    assert_eq!(found.as_deref(), Some("ab"));
    assert_eq!(
        find_entry(&cache, ("a", "b"), vec![]).get().await.unwrap(),
        Some(found)
    );

    let service = Service::new(1);
    let rights = service.rights(&user).await;
    assert_eq!(
        service.rights_entry(&user).get().await.unwrap(),
        Some(rights)
    );
    assert_eq!(service.template(5).await, Ok(Some(5)));
    assert_eq!(&*service.template_entry(5).key().unwrap(), "{service:1}:5");
    assert_eq!(Native::get(&service, 1).await, Some(2));
    assert_eq!(Repository::get(&service, 1).await.unwrap(), 2);
    assert_eq!(cache_tests_edition_2021::echo().await, 5);
}

#[tokio::test]
async fn a_body_that_can_run_behind_its_call_is_called_like_any_other() {
    let pool = Arc::new(Pool);
    for _ in 0..2 {
        let found = number(&pool, "1", (2, 3), "", &[4]).await.unwrap();
        assert_eq!(found, 7);
    }
    let user = get_user(&Pool, 1).await.unwrap();
    assert_eq!(alone(user).await, "1");
    let reports = Reports::new("a");
    let lines = ["b".to_owned()];
    assert_eq!(reports.report::<0>(&lines).await.as_deref(), Some("a b"));
    assert_eq!(reports.report::<1>(&lines).await, None);
    assert_eq!(Arc::new(reports).shared(1).await, "a 1");
}

#[tokio::test]
async fn a_keyword_is_a_name_like_any_other() {
    let of = Generation {
        gen: 2,
        r#type: "red".to_owned(),
    };
    assert_eq!(generation(1, &of).await, 3);
    assert_eq!(generation_entry(1, &of).get().await.unwrap(), Some(3));
    assert_eq!(typed(of.clone(), 3, 4).await, "red 3 4");
    let entry = typed_entry(of.clone(), 3, 4);
    assert_eq!(&*entry.key().unwrap(), "generation:red:2:3:4");
    let key = renamed::key!(
        "generation:{of.type}:{of.gen}:{r#type}:{gen}",
        r#type = 3,
        gen = 4
    );
    assert_eq!(key.as_str(), &*entry.key().unwrap());
}
