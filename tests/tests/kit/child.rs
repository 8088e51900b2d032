//! Child processes.

use cache_tests::{Child, child};

#[test]
fn a_child_has_the_environment_that_it_is_given_and_no_configuration_of_ours() {
    const NAME: &str =
        "child::a_child_has_the_environment_that_it_is_given_and_no_configuration_of_ours";
    let ours = |name: &String| name.starts_with("REDIS_") || name.starts_with("AZURE_");
    match child::role().as_deref() {
        None => {
            // The grandchild would inherit what the child was given.
            let ended = Child::of_test(NAME)
                .role("parent")
                .env("REDIS_HOST", "x")
                .env("AZURE_Y", "z")
                .run();
            ended.assert_passed();
        }
        Some("parent") => {
            let seen: Vec<_> = std::env::vars()
                .map(|(name, _)| name)
                .filter(ours)
                .collect();
            assert_eq!(seen.len(), 2, "{seen:?}");
            let ended = Child::of_test(NAME)
                .role("child")
                .env("REDIS_PORT", "7")
                .run();
            ended.assert_passed();
            assert!(
                ended.stdout.contains("seen [\"REDIS_PORT\"]"),
                "{}",
                ended.text()
            );
        }
        Some(_) => {
            let seen: Vec<_> = std::env::vars()
                .map(|(name, _)| name)
                .filter(ours)
                .collect();
            child::tell(&format!("seen {seen:?}"));
        }
    }
}

#[test]
fn a_failing_child_is_seen() {
    if child::role().is_some() {
        panic!("as it should");
    }
    let ended = Child::of_test("child::a_failing_child_is_seen").run();
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("as it should"), "{}", ended.text());
}

#[test]
#[should_panic(expected = "there is no test `child::nobody`")]
fn a_child_without_a_test_is_an_error() {
    drop(Child::of_test("child::nobody").run());
}

#[tokio::test]
async fn a_child_can_be_watched_and_killed() {
    if child::role().is_some() {
        child::tell("here I am");
        std::future::pending::<()>().await;
    }
    let child = Child::of_test("child::a_child_can_be_watched_and_killed").spawn();
    assert_eq!(child.wait_for_line("here I").await, "here I am");
    child.kill();
}
