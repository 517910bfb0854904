//! Each trial over all scenarios; `--nocapture` shows the counts.

use crate::{flows, goals};
use adjutant_testkit::trial::{self, Reference, Scenario};
use std::sync::Arc;

fn scenarios() -> Vec<Arc<dyn Scenario>> {
    let flows = flows::without_programs().into_iter().chain(flows::with_programs());
    let flows = flows.map(|case| Arc::new(case) as Arc<dyn Scenario>);
    flows.chain([Arc::new(goals::GoalCase) as Arc<dyn Scenario>]).collect()
}

/// Does a trial to every scenario; gives what to print.
async fn of_all(what: &str, faults: &str, trial: impl AsyncFn(&Reference) -> u64) -> String {
    let mut struck = 0;
    let mut tried = 0;
    for scenario in scenarios() {
        let found = trial(&trial::straight(scenario).await).await;
        struck += found;
        tried += u64::from(found > 0);
    }
    assert!(struck > 0, "no fault was made");
    format!("{what}: {struck} {faults} over {tried} scenarios, all ended as the straight run")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_may_be_performed_twice() {
    println!("{}", of_all("each effect twice", "effects", trial::effects_twice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_may_fail_where_it_is_tried_again() {
    println!("{}", of_all("each effect fails once", "failures", trial::effects_fail).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_may_be_refused_by_the_disk() {
    println!("{}", of_all("each commit refused once", "refusals", trial::disk_refuses).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_may_die_before_and_behind_each_commit() {
    println!("{}", of_all("crash before and behind each commit", "crashes", trial::crashes).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_may_die_behind_its_first_commit() {
    println!("{}", of_all("crash in every life", "crashes", trial::crashes_in_every_life).await);
}
