//! Each trial over all scenarios; `--nocapture` shows the counts.

use crate::handoffs::HandoffCase;
use crate::sessions::SessionCase;
use crate::{enhance, flows, goals, operators, pursuits};
use adjutant_model::session::DriverKind;
use adjutant_testkit::trial::{self, Reference, Scenario};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// How many scenarios are tried side by side.
const WIDTH: usize = 4;

/// The drivers whose sessions are tried: one whose agents outlive the daemon, and one whose agents do not.
const SESSION_DRIVERS: [DriverKind; 2] = [DriverKind::Tmux, DriverKind::Headless];

type Trial = fn(Reference) -> BoxFuture<'static, u64>;

fn scenarios() -> Vec<Arc<dyn Scenario>> {
    let flows = flows::without_programs().into_iter().chain(flows::with_programs());
    let flows = flows.map(|case| Arc::new(case) as Arc<dyn Scenario>);
    let others: [Arc<dyn Scenario>; 3] =
        [Arc::new(goals::GoalCase), Arc::new(enhance::EnhanceCase), Arc::new(operators::OperatorCase::new())];
    flows.chain(others).collect()
}

fn sessions() -> Vec<Arc<dyn Scenario>> {
    SESSION_DRIVERS.map(|driver| Arc::new(SessionCase::new(driver)) as Arc<dyn Scenario>).into()
}

/// Does a trial to every scenario; gives what to print.
async fn of_all(what: &str, faults: &str, trial: Trial) -> String {
    of_these(scenarios(), what, faults, trial).await
}

/// Likewise to every scenario of a session.
async fn of_sessions(what: &str, faults: &str, trial: Trial) -> String {
    of_these(sessions(), what, faults, trial).await
}

/// Likewise to the pursuit of a goal.
async fn of_pursuits(what: &str, faults: &str, trial: Trial) -> String {
    of_these(vec![Arc::new(pursuits::PursuitCase)], what, faults, trial).await
}

/// Likewise to a handoff.
async fn of_handoffs(what: &str, faults: &str, trial: Trial) -> String {
    of_these(vec![Arc::new(HandoffCase::new())], what, faults, trial).await
}

async fn of_these(scenarios: Vec<Arc<dyn Scenario>>, what: &str, faults: &str, trial: Trial) -> String {
    let doing = scenarios
        .into_iter()
        .map(|scenario| tokio::spawn(async move { trial(trial::straight(scenario).await).await }));
    let done: Vec<_> = stream::iter(doing).buffer_unordered(WIDTH).collect().await;
    let struck: Vec<u64> =
        done.into_iter().map(|found| found.expect("a trial that fails says why")).collect();
    let tried = struck.iter().filter(|found| **found > 0).count();
    let struck: u64 = struck.iter().sum();
    assert!(struck > 0, "no fault was made");
    format!("{what}: {struck} {faults} over {tried} scenarios, all ended as the straight run")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_may_be_performed_twice() {
    println!(
        "{}",
        of_all("each effect twice", "effects", |reference| Box::pin(async move {
            trial::effects_twice(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_may_fail_where_it_is_tried_again() {
    println!(
        "{}",
        of_all("each effect fails once", "failures", |reference| Box::pin(async move {
            trial::effects_fail(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_may_be_refused_by_the_disk() {
    println!(
        "{}",
        of_all("each commit refused once", "refusals", |reference| Box::pin(async move {
            trial::disk_refuses(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_may_die_before_and_behind_each_commit() {
    println!(
        "{}",
        of_all("crash before and behind each commit", "crashes", |reference| Box::pin(async move {
            trial::crashes(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_may_die_behind_its_first_commit() {
    println!(
        "{}",
        of_all("crash in every life", "crashes", |reference| Box::pin(async move {
            trial::crashes_in_every_life(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_an_agent_is_told_its_task_exactly_once() {
    for driver in SESSION_DRIVERS {
        trial::straight(Arc::new(SessionCase::without_fault(driver))).await;
    }
    trial::straight(Arc::new(HandoffCase::without_fault())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_bears_each_effect_twice() {
    println!(
        "{}",
        of_sessions("each effect of a session twice", "effects", |reference| Box::pin(async move {
            trial::effects_twice(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_bears_the_failure_of_each_effect() {
    println!(
        "{}",
        of_sessions("each effect of a session fails once", "failures", |reference| Box::pin(async move {
            trial::effects_fail(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_bears_a_disk_that_refuses_each_commit() {
    println!(
        "{}",
        of_sessions("each commit of a session refused once", "refusals", |reference| Box::pin(async move {
            trial::disk_refuses(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_bears_a_crash_before_and_behind_each_commit() {
    println!(
        "{}",
        of_sessions("crash before and behind each commit of a session", "crashes", |reference| Box::pin(
            async move { trial::crashes(&reference).await }
        ))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_bears_a_crash_in_every_life() {
    println!(
        "{}",
        of_sessions("crash in every life of a session", "crashes", |reference| Box::pin(async move {
            trial::crashes_in_every_life(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_bears_each_effect_twice() {
    println!(
        "{}",
        of_pursuits("each effect of a pursuit twice", "effects", |reference| Box::pin(async move {
            trial::effects_twice(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_bears_the_failure_of_each_effect() {
    println!(
        "{}",
        of_pursuits("each effect of a pursuit fails once", "failures", |reference| Box::pin(async move {
            trial::effects_fail(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_bears_a_disk_that_refuses_each_commit() {
    println!(
        "{}",
        of_pursuits("each commit of a pursuit refused once", "refusals", |reference| Box::pin(async move {
            trial::disk_refuses(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_bears_a_crash_before_and_behind_each_commit() {
    println!(
        "{}",
        of_pursuits("crash before and behind each commit of a pursuit", "crashes", |reference| Box::pin(
            async move { trial::crashes(&reference).await }
        ))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_bears_a_crash_in_every_life() {
    println!(
        "{}",
        of_pursuits("crash in every life of a pursuit", "crashes", |reference| Box::pin(async move {
            trial::crashes_in_every_life(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_bears_each_effect_twice() {
    println!(
        "{}",
        of_handoffs("each effect of a handoff twice", "effects", |reference| Box::pin(async move {
            trial::effects_twice(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_bears_the_failure_of_each_effect() {
    println!(
        "{}",
        of_handoffs("each effect of a handoff fails once", "failures", |reference| Box::pin(async move {
            trial::effects_fail(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_bears_a_disk_that_refuses_each_commit() {
    println!(
        "{}",
        of_handoffs("each commit of a handoff refused once", "refusals", |reference| Box::pin(async move {
            trial::disk_refuses(&reference).await
        }))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_bears_a_crash_before_and_behind_each_commit() {
    println!(
        "{}",
        of_handoffs("crash before and behind each commit of a handoff", "crashes", |reference| Box::pin(
            async move { trial::crashes(&reference).await }
        ))
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_bears_a_crash_in_every_life() {
    println!(
        "{}",
        of_handoffs("crash in every life of a handoff", "crashes", |reference| Box::pin(async move {
            trial::crashes_in_every_life(&reference).await
        }))
        .await
    );
}
