//! Calling git: its version, its environment, its errors.

use adjutant_model::run::ErrorClass;
use adjutant_sessions::worktree::{head, status};
use adjutant_sessions::{Git, GitError, GitVersion, SpawnError};
use adjutant_testkit::Repository;
use adjutant_testkit::environment::hermetic;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_version_is_probed_and_a_missing_git_is_told() {
    let home = tempfile::tempdir().unwrap();
    let version = Git::new(&hermetic(home.path())).version().await.unwrap();
    assert!(version >= GitVersion::OLDEST, "{version}");

    let nowhere = [("PATH".to_owned(), home.path().to_str().unwrap().to_owned())];
    let error = Git::new(&nowhere).version().await.unwrap_err();
    assert!(matches!(&error, GitError::Spawn(SpawnError::NotFound { .. })), "{error:?}");
    assert_eq!(error.class(), ErrorClass::User);
    assert_eq!(error.hint().as_deref(), Some("install git, or put its folder into PATH"));
}

#[tokio::test]
async fn git_variables_of_the_caller_do_not_reach_git() {
    let repository = Repository::new();
    let other = Repository::empty("other");
    let mut env = hermetic(&repository.root());
    let foreign = other.project.join(".git").to_str().unwrap().to_owned();
    env.extend([
        ("GIT_DIR".to_owned(), foreign),
        ("GIT_INDEX_FILE".to_owned(), "/nowhere".to_owned()),
        ("LC_ALL".to_owned(), "de_DE.UTF-8".to_owned()),
    ]);
    let seen = head(&Git::new(&env), &repository.project).await.unwrap();
    assert_eq!(seen, repository.sh(&repository.project, &["rev-parse", "HEAD"]));
}

#[tokio::test]
async fn a_failure_says_where_and_what() {
    let home = tempfile::tempdir().unwrap();
    let error = head(&Git::new(&hermetic(home.path())), home.path()).await.unwrap_err();
    let GitError::Failed { command, dir, code, stderr_tail } = &error else { panic!("{error:?}") };
    assert_eq!((command.as_str(), dir.as_path(), *code), ("rev-parse", home.path(), Some(128)));
    assert!(stderr_tail.contains("not a git repository"), "{stderr_tail}");
}

#[tokio::test]
async fn a_call_can_be_cancelled_and_has_a_limit() {
    let repository = Repository::new();
    // A clean filter that does not end stands for whatever makes git hang.
    repository.sh(&repository.project, &["config", "filter.slow.clean", "sleep 1000"]);
    repository.write(".gitattributes", "*.slow filter=slow\n");
    repository.write("a.slow", "x");
    let git = repository.git.clone().with_timeout(Duration::from_millis(500));
    let error = adjutant_sessions::worktree::tree_hash(&git, &repository.project).await.unwrap_err();
    assert!(matches!(&error, GitError::TimedOut { command, .. } if command == "add"), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Retry);

    let cancel = CancellationToken::new();
    cancel.cancel();
    let git = repository.git.clone().with_cancel(cancel);
    let error = status(&git, &repository.project, None).await.unwrap_err();
    assert!(matches!(error, GitError::Spawn(SpawnError::Cancelled { .. })), "{error:?}");
}
