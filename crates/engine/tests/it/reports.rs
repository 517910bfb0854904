//! Errors that are captured and reported, before a real HTTP server that is stricter than GitHub.

#![expect(
    clippy::unwrap_used,
    reason = "what a test's helper does not get ends the test, as in the test itself"
)]

use adjutant_engine::faults::{CommitFault, CommitHook, DiskFault};
use adjutant_engine::reports::{AppSettings, Consent, Reported, ShownPreview};
use adjutant_engine::{EngineError, Plane, Settings};
use adjutant_model::TokenId;
use adjutant_model::action::{Caller, Role};
use adjutant_model::id::Uuid;
use adjutant_model::report::{ErrorRecord, FiledIssue, FilingState};
use adjutant_testkit::github::{APP_ID, Call, INSTALLATION_ID, Issue, REPOSITORY, TOKEN, Turn, private_file};
use adjutant_testkit::{FakeGithub, Home, owner};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;

/// A target of Adjutant's own code.
const OWN: &str = "adjutant_engine::runs";

/// A plane whose reports go to a GitHub of the test's own, with a good token.
struct Reporting {
    home: Home,
    github: FakeGithub,
    plane: Plane,
    settings: Settings,
}

impl Reporting {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let (home, github) = (Home::new(), FakeGithub::start());
        let mut settings = home.settings();
        settings.reports.api_base_set(github.url()).unwrap();
        settings.reports.repository_set(REPOSITORY).unwrap();
        private_file(&home.path("report-token"), TOKEN);
        change(&mut settings);
        let plane = opened(settings.clone()).await;
        Reporting { home, github, plane, settings }
    }

    /// Logs errors as parts of Adjutant do.
    fn tell(&self, work: impl FnOnce()) {
        let subscriber = tracing_subscriber::registry().with(self.settings.errors.layer());
        tracing::subscriber::with_default(subscriber, work);
    }

    /// Logs an error of one place; gives its fingerprint.
    async fn failed(&self, what: &str) -> String {
        self.tell(|| tracing::error!(target: OWN, "{what} failed"));
        let errors = self.plane.errors(100).await.unwrap().errors;
        errors.into_iter().find(|error| error.message == format!("{what} failed")).unwrap().fingerprint
    }

    async fn preview(&self, fingerprint: &str) -> ShownPreview {
        self.plane.error_preview(&owner(), fingerprint).await.unwrap()
    }

    async fn agree(&self, fingerprint: &str, hash: &str) -> Result<Reported, EngineError> {
        self.plane.error_report(&owner(), fingerprint, Consent::Preview(hash.to_owned())).await
    }

    /// Previews an error and agrees.
    async fn report(&self, fingerprint: &str) -> Result<Reported, EngineError> {
        let shown = self.preview(fingerprint).await;
        self.agree(fingerprint, &shown.preview.hash).await
    }

    async fn state(&self, fingerprint: &str) -> Option<FilingState> {
        self.plane.error_get(fingerprint).await.unwrap().filing.map(|filing| filing.state)
    }

    async fn restarted(self) -> Self {
        self.plane.stop().await;
        let plane = opened(self.settings.clone()).await;
        Reporting { plane, ..self }
    }
}

async fn opened(settings: Settings) -> Plane {
    let plane = Plane::open(settings).await.unwrap();
    plane.resume().await.unwrap();
    plane
}

#[track_caller]
fn issue(reported: Result<Reported, EngineError>) -> FiledIssue {
    match reported {
        Ok(Reported::Filed(issue)) => issue,
        other => panic!("it is not filed: {other:?}"),
    }
}

#[track_caller]
fn is_limited(reported: &Result<Reported, EngineError>, part: &str) {
    assert!(matches!(reported, Ok(Reported::Limited { note }) if note.contains(part)), "{reported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_errors_are_one_row_over_restarts_and_the_rows_are_bounded() {
    let reporting = Reporting::with(|settings| settings.error_limits.rows = 3).await;
    assert_eq!(reporting.plane.errors(20).await.unwrap().errors, []);
    reporting.tell(|| (0..5000).for_each(|n| tracing::error!(target: OWN, n, "step {n} failed")));
    let reporting = reporting.restarted().await;
    reporting.tell(|| (0..10).for_each(|n| tracing::error!(target: OWN, n, "step {n} failed")));
    let list = reporting.plane.errors(20).await.unwrap();
    // The two places are two errors.
    let counts: Vec<u64> = list.errors.iter().map(|error| error.occurrences).collect();
    assert_eq!((list.total, list.limit, counts.iter().sum::<u64>()), (2, 20, 5010), "{counts:?}");
    let ErrorRecord { target, message, fields, os, arch, location, .. } = &list.errors[0];
    assert_eq!((target.as_str(), message.as_str(), fields.as_str()), (OWN, "step 9 failed", "n=9\n"));
    assert_eq!((os.as_str(), arch.as_str()), (std::env::consts::OS, std::env::consts::ARCH));
    assert!(location.as_deref().is_some_and(|place| place.contains("reports.rs:")), "{location:?}");
    for what in ["alpha", "beta", "gamma"] {
        reporting.failed(what).await;
    }
    let list = reporting.plane.errors(100).await.unwrap();
    assert_eq!((list.total, list.errors.len()), (3, 3));
    assert!(list.errors.iter().all(|error| !error.message.starts_with("step")), "the oldest are forgotten");
    for limit in [0, 101] {
        assert!(matches!(reporting.plane.errors(limit).await, Err(EngineError::Invalid { .. })));
    }
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_errors_are_bounded() {
    let reporting = Reporting::with(|settings| settings.error_limits.bytes = 40_000).await;
    for what in ["a", "b", "c", "d", "e"] {
        reporting.failed(&format!("{what} {}", "words ".repeat(2000))).await;
    }
    assert_eq!(reporting.plane.errors(100).await.unwrap().total, 3);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_was_agreed_to_is_filed_and_nothing_is_called_before() {
    let reporting = Reporting::start().await;
    let fingerprint = reporting.failed("the thing").await;
    let asked = reporting.plane.error_report(&owner(), &fingerprint, Consent::None).await.unwrap();
    let Reported::Asked(asked) = asked else { panic!("{asked:?}") };
    let shown = reporting.preview(&fingerprint).await;
    assert_eq!(shown.preview.hash, asked.preview.hash, "the same words have the same hash");
    assert_eq!(reporting.github.calls(), [], "nothing was called before there is consent");
    // The error goes on; what was agreed to stays.
    for _ in 0..3 {
        reporting.failed("the thing").await;
    }
    let other = reporting.preview(&fingerprint).await;
    assert_ne!(other.preview.hash, shown.preview.hash);
    let filed = issue(reporting.agree(&fingerprint, &shown.preview.hash).await);
    assert_eq!((filed.number, filed.deduped), (1, false));
    assert_eq!(filed.url, format!("{}/{REPOSITORY}/issues/1", reporting.github.url()));
    let draft = &shown.preview.draft;
    let expected = Issue {
        title: draft.title.clone(),
        body: draft.body.clone(),
        labels: draft.labels.clone(),
        is_open: true,
        comments: Vec::new(),
    };
    assert_eq!(reporting.github.issues(), [expected]);
    assert_eq!(reporting.github.calls(), [Call::Search, Call::List, Call::Create]);
    assert_eq!(reporting.state(&fingerprint).await, Some(FilingState::Filed));
    let events = reporting.plane.events_of(&format!("error:{fingerprint}"), 0, 10).await.unwrap();
    assert_eq!(events.iter().map(|row| row.event.kind()).collect::<Vec<_>>(), ["error_report"; 2]);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_to_what_was_never_shown_is_none() {
    let reporting = Reporting::start().await;
    let (one, two) = (reporting.failed("one").await, reporting.failed("two").await);
    let shown = reporting.preview(&one).await.preview.hash;
    for (fingerprint, hash) in [(&two, &shown), (&one, &"0".repeat(64)), (&one, &String::new())] {
        let refused = reporting.agree(fingerprint, hash).await;
        assert!(matches!(refused, Err(EngineError::NotFound { kind: "preview", .. })), "{refused:?}");
    }
    for unknown in ["0".repeat(64), "x".to_owned(), String::new()] {
        let refused = reporting.agree(&unknown, &shown).await;
        assert!(matches!(refused, Err(EngineError::NotFound { kind: "error", .. })), "{refused:?}");
    }
    // Without a hash it is what the same token was shown last.
    let other = Caller { token_id: TokenId::new(Uuid::from_u128(9)), role: Role::Host, ..owner() };
    let asked = reporting.plane.error_report(&other, &one, Consent::LastShown).await.unwrap();
    assert!(matches!(asked, Reported::Asked(_)), "another was shown it: {asked:?}");
    assert_eq!(reporting.github.calls(), []);
    issue(reporting.plane.error_report(&other, &one, Consent::LastShown).await);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_does_not_go_elsewhere_than_it_said() {
    let reporting = Reporting::start().await;
    let fingerprint = reporting.failed("it").await;
    let shown = reporting.preview(&fingerprint).await.preview;
    let destination = format!("{} {REPOSITORY}", reporting.github.url());
    assert_eq!(shown.destination.as_deref(), Some(destination.as_str()));
    reporting.plane.stop().await;
    let mut settings = reporting.settings.clone();
    settings.reports.repository_set("some/where").unwrap();
    let plane = opened(settings).await;
    let refused = plane.error_report(&owner(), &fingerprint, Consent::Preview(shown.hash.clone())).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    plane.stop().await;
    let mut settings = reporting.settings.clone();
    settings.reports.repository = None;
    let plane = opened(settings).await;
    let unsent = plane.error_report(&owner(), &fingerprint, Consent::Preview(shown.hash)).await.unwrap();
    assert!(matches!(&unsent, Reported::Unsent { note } if note.contains("repository")), "{unsent:?}");
    assert_eq!(reporting.github.calls(), []);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_reports_at_once_one_is_filed_and_the_limit_outlives_the_daemon() {
    let reporting = Reporting::start().await;
    let fingerprint = reporting.failed("it").await;
    let hash = reporting.preview(&fingerprint).await.preview.hash;
    let both = tokio::join!(reporting.agree(&fingerprint, &hash), reporting.agree(&fingerprint, &hash));
    let filed = [&both.0, &both.1].into_iter().filter(|done| matches!(done, Ok(Reported::Filed(_)))).count();
    let limited =
        [&both.0, &both.1].into_iter().filter(|done| matches!(done, Ok(Reported::Limited { .. }))).count();
    assert_eq!((filed, limited), (1, 1), "{both:?}");
    let reporting = reporting.restarted().await;
    is_limited(&reporting.agree(&fingerprint, &hash).await, "within the last 24 hours");
    assert_eq!(reporting.github.issues().len(), 1);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_reports_are_filed_in_an_hour_and_what_failed_does_not_count() {
    let reporting = Reporting::start().await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let eleventh = reporting.failed("eleventh").await;
    reporting.github.next(Call::Create, Turn::Refuse(422));
    assert!(reporting.report(&eleventh).await.is_err());
    assert_eq!(reporting.state(&eleventh).await, Some(FilingState::Failed));
    for name in &names[..10] {
        let fingerprint = reporting.failed(&format!("{name} thing")).await;
        issue(reporting.report(&fingerprint).await);
    }
    is_limited(&reporting.report(&eleventh).await, "10 reports");
    let reporting = reporting.restarted().await;
    is_limited(&reporting.report(&eleventh).await, "10 reports");
    assert_eq!(reporting.github.issues().len(), 10);
    reporting.plane.stop().await;
}

fn other_issue(body: &str, is_open: bool) -> Issue {
    Issue { title: "t".to_owned(), body: body.to_owned(), labels: vec![], is_open, comments: vec![] }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_has_an_issue_becomes_a_comment_of_it() {
    let reporting = Reporting::start().await;
    let marker = |fingerprint: &str| format!("text\n<!-- adjutant-error: {fingerprint} -->");
    let fingerprint = reporting.failed("it").await;
    reporting.github.issue_add(other_issue("adjutant-error: but another", true));
    let closed = reporting.github.issue_add(other_issue(&marker(&fingerprint), false));
    let open = reporting.github.issue_add(other_issue(&marker(&fingerprint), true));
    reporting.github.issue_add(other_issue(&marker(&fingerprint), true));
    let shown = reporting.preview(&fingerprint).await.preview;
    let filed = issue(reporting.agree(&fingerprint, &shown.hash).await);
    assert_eq!((filed.number, filed.deduped), (open, true), "the closed one is {closed}");
    let issues = reporting.github.issues();
    assert_eq!(issues.len(), 4, "none is made");
    assert_eq!(issues[open as usize - 1].comments, [shown.draft.body], "in the words that were agreed to");
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_the_search_does_not_know_yet_is_found_and_not_commented_by_its_own_words() {
    let reporting = Reporting::start().await;
    let fingerprint = reporting.failed("it").await;
    let shown = reporting.preview(&fingerprint).await.preview;
    let number = reporting.github.issue_add(other_issue(&shown.draft.body.replace('\n', "\r\n"), false));
    reporting.github.search_falls_behind();
    let filed = issue(reporting.agree(&fingerprint, &shown.hash).await);
    assert_eq!((filed.number, filed.deduped), (number, true));
    assert_eq!(reporting.github.calls(), [Call::Search, Call::List]);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_was_not_filed_and_may_be_tried_again_at_once() {
    let reporting = Reporting::with(|settings| settings.reports.timeout = Duration::from_millis(500)).await;
    let fingerprint = reporting.failed("it").await;
    let hash = reporting.preview(&fingerprint).await.preview.hash;
    let elsewhere = FakeGithub::start();
    for call in [Call::Search, Call::List, Call::Create] {
        for status in [400, 401, 403, 404, 422, 429] {
            reporting.github.next(call, Turn::Refuse(status));
            let error = reporting.agree(&fingerprint, &hash).await.unwrap_err();
            assert_eq!(error.code(), "report_failed");
            assert!(error.to_string().contains(&status.to_string()) && error.hint().is_some(), "{error}");
            assert_eq!(reporting.state(&fingerprint).await, Some(FilingState::Failed), "{call:?} {status}");
        }
        reporting.github.next(call, Turn::Redirect(format!("{}/search/issues", elsewhere.url())));
        let error = reporting.agree(&fingerprint, &hash).await.unwrap_err();
        assert!(error.to_string().contains("not followed"), "{error}");
    }
    for turn in [Turn::Refuse(500), Turn::Hang] {
        reporting.github.next(Call::Search, turn);
        reporting.agree(&fingerprint, &hash).await.unwrap_err();
        assert_eq!(reporting.state(&fingerprint).await, Some(FilingState::Failed), "nothing was posted");
    }
    assert_eq!(elsewhere.calls(), [], "nothing goes to another host");
    assert_eq!(reporting.github.issues(), []);
    issue(reporting.agree(&fingerprint, &hash).await);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filing_whose_end_is_not_known_is_looked_for_before_another_is_made() {
    let fast = |settings: &mut Settings| settings.reports.timeout = Duration::from_millis(500);
    for (turn, is_there) in
        [(Turn::DoAndHang, true), (Turn::DoAndGarble, true), (Turn::Hang, false), (Turn::Refuse(502), false)]
    {
        let reporting = Reporting::with(fast).await;
        let fingerprint = reporting.failed("it").await;
        let hash = reporting.preview(&fingerprint).await.preview.hash;
        reporting.github.next(Call::Create, turn.clone());
        let error = reporting.agree(&fingerprint, &hash).await.unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("agree to it again")), "{error}");
        assert_eq!(reporting.state(&fingerprint).await, Some(FilingState::Uncertain), "{turn:?}");
        // To be refused at the door says nothing of what came of it before.
        reporting.github.next(Call::Search, Turn::Refuse(401));
        reporting.agree(&fingerprint, &hash).await.unwrap_err();
        assert_eq!(reporting.state(&fingerprint).await, Some(FilingState::Uncertain), "{turn:?}");
        let reporting = reporting.restarted().await;
        let filed = issue(reporting.agree(&fingerprint, &hash).await);
        assert_eq!((filed.number, filed.deduped), (1, is_there), "{turn:?}");
        let issues = reporting.github.issues();
        assert_eq!((issues.len(), issues[0].comments.len()), (1, 0), "{turn:?}");
        reporting.plane.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_whose_end_is_not_known_is_not_made_twice() {
    let reporting = Reporting::with(|settings| settings.reports.timeout = Duration::from_millis(500)).await;
    let fingerprint = reporting.failed("it").await;
    reporting.github.issue_add(other_issue(&format!("<!-- adjutant-error: {fingerprint} -->"), true));
    let hash = reporting.preview(&fingerprint).await.preview.hash;
    reporting.github.next(Call::Comment, Turn::DoAndHang);
    reporting.agree(&fingerprint, &hash).await.unwrap_err();
    issue(reporting.agree(&fingerprint, &hash).await);
    assert_eq!(reporting.github.issues()[0].comments.len(), 1);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_may_go_and_the_filing_comes_to_its_end() {
    let reporting = Reporting::start().await;
    let fingerprint = reporting.failed("it").await;
    let hash = reporting.preview(&fingerprint).await.preview.hash;
    let plane = reporting.plane.clone();
    let (asked, agreed) = (fingerprint.clone(), Consent::Preview(hash));
    let asking = tokio::spawn(async move { plane.error_report(&owner(), &asked, agreed).await });
    tokio::task::block_in_place(|| reporting.github.await_call(Call::Search));
    asking.abort();
    drop(asking.await);
    tokio::task::block_in_place(|| reporting.github.await_call(Call::Create));
    reporting.plane.stop().await;
    let reporting = Reporting { plane: opened(reporting.settings.clone()).await, ..reporting };
    let state = reporting.state(&fingerprint).await;
    assert!(matches!(state, Some(FilingState::Filed | FilingState::Uncertain)), "{state:?}");
    assert_eq!(reporting.github.issues().len(), 1);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_the_environments_then_the_files_then_the_apps() {
    let reporting = Reporting::start().await;
    let folder = reporting.home.folder();
    let app = AppSettings {
        app_id: APP_ID,
        installation_id: INSTALLATION_ID,
        key_file: reporting.github.key_file(folder),
    };
    let fingerprint = reporting.failed("it").await;
    let hash = reporting.preview(&fingerprint).await.preview.hash;
    reporting.plane.stop().await;
    let file = reporting.home.path("report-token");
    // The first that is there decides: a bad one is not passed over.
    for (env, of_file, app, expected) in [
        (Some("bad"), Some(TOKEN), Some(&app), Some("401")),
        (None, Some("bad"), Some(&app), Some("401")),
        (Some("two words"), Some(TOKEN), None, None),
        (None, None, None, None),
    ] {
        std::fs::remove_file(&file).ok();
        if let Some(token) = of_file {
            private_file(&file, token);
        }
        let mut settings = reporting.settings.clone();
        let variable = env.map(|value| ("ADJUTANT_REPORT_TOKEN".to_owned(), value.to_owned()));
        settings.env = settings.env.iter().cloned().chain(variable).collect::<Arc<[_]>>();
        settings.reports.app = app.cloned();
        let plane = opened(settings).await;
        let calls = reporting.github.calls().len();
        let told = plane.error_report(&owner(), &fingerprint, Consent::Preview(hash.clone())).await;
        match expected {
            Some(part) => {
                assert!(told.as_ref().is_err_and(|error| error.to_string().contains(part)), "{told:?}");
            }
            None => {
                assert!(matches!(&told, Ok(Reported::Unsent { note }) if note.contains("token")), "{told:?}");
                assert_eq!(reporting.github.calls().len(), calls, "without a token nothing is called");
            }
        }
        plane.stop().await;
    }
    // A file that others may read is no secret.
    std::fs::write(&file, TOKEN).unwrap();
    let plane = opened(reporting.settings.clone()).await;
    let told = plane.error_report(&owner(), &fingerprint, Consent::Preview(hash)).await;
    assert!(matches!(&told, Ok(Reported::Unsent { note }) if note.contains("chmod 600")), "{told:?}");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_token_is_used_again_until_shortly_before_its_end() {
    for (secs, got) in [(3600, 1), (299, 3)] {
        let reporting = Reporting::start().await;
        std::fs::remove_file(reporting.home.path("report-token")).unwrap();
        reporting.github.token_secs_set(secs);
        reporting.plane.stop().await;
        let key_file = reporting.github.key_file(reporting.home.folder());
        let mut settings = reporting.settings.clone();
        settings.reports.app =
            Some(AppSettings { app_id: APP_ID, installation_id: INSTALLATION_ID, key_file });
        let plane = opened(settings.clone()).await;
        let reporting = Reporting { plane, settings, ..reporting };
        for what in ["one", "two", "three"] {
            let fingerprint = reporting.failed(what).await;
            issue(reporting.report(&fingerprint).await);
        }
        let tokens = reporting.github.calls().into_iter().filter(|call| *call == Call::AppToken).count();
        assert_eq!(tokens, got, "{secs}");
        reporting.plane.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_refuses_errors_wait_and_make_no_more_of_themselves() {
    let refuses = Arc::new(AtomicBool::new(false));
    let asked = refuses.clone();
    let reporting = Reporting::with(move |settings| {
        settings.faults.commits = Some(CommitHook::new(move |_| {
            asked.load(Ordering::SeqCst).then_some(CommitFault::Refuse(DiskFault::Full))
        }));
    })
    .await;
    // Whatever any thread of the plane says goes to the tap, as in the daemon.
    refuses.store(true, Ordering::SeqCst);
    reporting.tell(|| (0..100).for_each(|n| tracing::error!(target: OWN, "n {n}")));
    for _ in 0..5 {
        assert_eq!(reporting.plane.errors(20).await.unwrap().total, 0);
    }
    refuses.store(false, Ordering::SeqCst);
    let list = reporting.plane.errors(20).await.unwrap();
    assert_eq!(list.errors.iter().map(|error| error.occurrences).collect::<Vec<_>>(), [100]);
    reporting.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_seeded_secret_is_in_the_store_the_preview_or_the_issue() {
    let reporting = Reporting::start().await;
    let drawn = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYz".repeat(2);
    let secrets = [
        format!("sk-ant-{}", &drawn[..40]),
        format!("ghp_{}", &drawn[..36]),
        format!("glpat-{}", &drawn[..20]),
        "AKIAQ7W2E9R4T6Y1U3I5".to_owned(),
        format!("AIza{}", &drawn[..35]),
        format!("xoxb-{}", &drawn[..40]),
        format!("sk_live_{}", &drawn[..24]),
        format!("npm_{}", &drawn[..36]),
        format!("eyJ{}.eyJ{}.{}", &drawn[..20], &drawn[..30], &drawn[..30]),
        "hunter2-of-the-database".to_owned(),
        "hunter3-of-the-variable".to_owned(),
        "/home/alice/clients/acme".to_owned(),
        drawn[..50].to_owned(),
    ];
    let told = format!(
        "{} DB_PASSWORD={} postgres://me:{}@host/x {}/x.rs Authorization: Bearer {}",
        secrets[..9].join(" "),
        secrets[10],
        secrets[9],
        secrets[11],
        secrets[12]
    );
    reporting.tell(|| tracing::error!(target: OWN, why = %told, "{told}"));
    let fingerprint = reporting.plane.errors(1).await.unwrap().errors[0].fingerprint.clone();
    let info = reporting.plane.error_get(&fingerprint).await.unwrap();
    let shown = reporting.preview(&fingerprint).await;
    assert!(shown.preview.scrub_changes.len() >= 9, "{:?}", shown.preview.scrub_changes);
    issue(reporting.agree(&fingerprint, &shown.preview.hash).await);
    let filed = format!("{:?}", reporting.github.issues());
    reporting.plane.stop().await;
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(reporting.home.folder()).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    let kept = String::from_utf8_lossy(&kept);
    assert!(kept.contains(&fingerprint), "the store is among it");
    for secret in &secrets {
        for (place, text) in [
            ("error", format!("{info:?}")),
            ("preview", format!("{shown:?}")),
            ("issue", filed.clone()),
            ("store", kept.clone().into_owned()),
        ] {
            assert!(!text.contains(secret.as_str()), "{secret} is in the {place}");
        }
    }
}
