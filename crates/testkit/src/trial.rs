//! The generic trials: what every machine must bear and still end the same.
//!
//! A [`Scenario`] says what a caller does with a plane. Its straight run is the [`Reference`]; then
//! - [`effects_twice`] performs each effect twice and delivers both outcomes,
//! - [`effects_fail`] lets each effect fail once where it may be tried again,
//! - [`disk_refuses`] refuses each commit once, the ones of a restart too,
//! - [`crashes`] ends the process right before and right behind each commit and lets the next one go on,
//! - [`crashes_in_every_life`] lets no process live for longer than one commit of its own.
//!
//! Each tells how many faults it has made, and fails with the scenario, the fault and both ends when a story ends
//! otherwise. Whatever happens, the journal must verify, a run's turns must be whole, and a step whose settlement was
//! durable at a crash must not be performed again.

mod end;

mod fault;

mod life;

pub use end::{End, GoalEnd, IssueEnd, Proof, Removed, RunEnd, SessionEnd, StepEnd, steady};
pub use life::{Life, Scenario};

use adjutant_engine::faults::{CommitFault, DiskFault};
use fault::Plan;
use futures_util::StreamExt;
use futures_util::stream;
use life::{Told, tell};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How many stories are told side by side: most of their time they wait, for the disk or for a pause.
const WIDTH: usize = 8;

/// A process that makes no progress in so many lives never will.
const LIVES_MAX: usize = 200;

/// The straight run of a scenario.
#[derive(Clone)]
pub struct Reference {
    scenario: Arc<dyn Scenario>,
    /// How it ended.
    pub end: End,
    /// How many commits the store made until then.
    pub commits: u64,
    /// How many effects were performed.
    pub effects: u64,
}

/// Runs a scenario without a fault.
pub async fn straight(scenario: Arc<dyn Scenario>) -> Reference {
    let Told { end, commits, effects, .. } = tell(&*scenario, Vec::new()).await;
    Reference { scenario, end, commits, effects }
}

/// Performs each effect twice; gives how many were.
pub async fn effects_twice(reference: &Reference) -> u64 {
    let told = tell(&*reference.scenario, vec![Plan::EffectsTwice]).await;
    reference.compare(&told.end, "each effect twice", End::clone);
    told.struck
}

/// Lets each effect fail once, in a story of its own, where the scenario can have its steps tried again; gives how
/// many failed.
pub async fn effects_fail(reference: &Reference) -> u64 {
    let Some(retrying) = reference.scenario.retrying() else { return 0 };
    let reference = straight(retrying).await;
    let stories =
        (1..=reference.effects).map(|n| Story::new(format!("effect {n} fails"), [Plan::EffectFails(n)]));
    reference.tell_all(stories.collect(), End::in_the_last_attempts).await
}

/// Refuses each commit once, in a story of its own, by a full disk and by a failing one; then, in a process that
/// takes over from one that has died, each of its first commits. Gives how many were refused.
pub async fn disk_refuses(reference: &Reference) -> u64 {
    let disks = [DiskFault::Full, DiskFault::Failing];
    let refused = |n, disk| Plan::Commit(n, CommitFault::Refuse(disk));
    let of_the_first = reference
        .commits_tried()
        .flat_map(|n| disks.map(|disk| (n, disk)))
        .map(|(n, disk)| Story::new(format!("commit {n} is refused ({disk:?})"), [refused(n, disk)]));
    let middle = reference.commits.div_ceil(2);
    let of_the_next = (1..=reference.scenario.commits_of_a_life()).map(|n| {
        let death = Plan::Commit(middle, CommitFault::HaltAfter);
        let what = format!("a crash behind commit {middle}, then commit {n} is refused");
        Story::new(what, [death, refused(n, DiskFault::Failing)])
    });
    reference.tell_all(of_the_first.chain(of_the_next).collect(), End::clone).await
}

/// Ends the process before and behind each commit, in a story of its own; gives how many crashes there were.
pub async fn crashes(reference: &Reference) -> u64 {
    let points = [CommitFault::HaltBefore, CommitFault::HaltAfter];
    let stories = reference.commits_tried().flat_map(|n| points.map(|point| (n, point)));
    let stories =
        stories.map(|(n, point)| Story::new(format!("{point:?} of commit {n}"), [Plan::Commit(n, point)]));
    reference.tell_all(stories.collect(), End::clone).await
}

/// Ends every process right behind the first commit of its own; gives how many crashes there were.
pub async fn crashes_in_every_life(reference: &Reference) -> u64 {
    let death = Plan::Commit(reference.scenario.commits_of_a_life(), CommitFault::HaltAfter);
    let story = Story::new("a crash in every life".to_owned(), vec![death; LIVES_MAX]);
    reference.tell_all(vec![story], End::clone).await
}

/// What befalls one process after the other; those behind the last are spared.
struct Story {
    what: String,
    plans: Vec<Plan>,
}

impl Story {
    fn new(what: String, plans: impl Into<Vec<Plan>>) -> Self {
        Story { what, plans: plans.into() }
    }
}

impl Reference {
    /// Gives the numbers of the commits at which faults are made.
    fn commits_tried(&self) -> RangeInclusive<u64> {
        self.scenario.commits_tried_elsewhere() + 1..=self.commits
    }

    /// Tells stories side by side, compares what `seen` gives of their ends, and counts the faults that struck.
    async fn tell_all(&self, stories: Vec<Story>, seen: fn(&End) -> End) -> u64 {
        let telling = stories.into_iter().map(|Story { what, plans }| {
            let scenario = self.scenario.clone();
            tokio::spawn(async move { (what, tell(&*scenario, plans).await) })
        });
        let mut struck = 0;
        let mut telling = stream::iter(telling).buffer_unordered(WIDTH);
        while let Some(told) = telling.next().await {
            let (what, told) = told.expect("a story that fails says why");
            self.compare(&told.end, &what, seen);
            struck += told.struck;
        }
        struck
    }

    fn compare(&self, end: &End, what: &str, seen: fn(&End) -> End) {
        let name = self.scenario.name();
        let seen = |end| self.scenario.seen(&seen(end));
        assert_eq!(seen(end), seen(&self.end), "`{name}` ends otherwise (left) when: {what}");
    }
}
