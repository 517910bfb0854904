//! The acceptance cases of goals, each by its number. Where a case is otherwise on purpose, the doc of its test says why.
//!
//! | cases | about |
//! | --- | --- |
//! | 1–12 | the model: what a goal is, how progress is counted, names on the wire |
//! | 13–27 | the store: what a change does, what is refused, what a failed write leaves |
//! | 28–33 | the mirror `goals.json` |
//! | 34–40 | the door, the pursuit, the command line (40 is in `crates/app/tests/it/goals.rs`) |

use crate::harness::{Daemon, Raw};
use adjutant_engine::faults::{CommitFault, CommitHook, DiskFault};
use adjutant_model::goal::Goal;
use adjutant_protocol::http::{GoalView, GoalsView};
use adjutant_testkit::{repository, until};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One goal, and the daemon that has it.
struct Case {
    daemon: Daemon,
    id: String,
}

impl Case {
    async fn new(params: Value) -> Case {
        Case::on(Daemon::start().await, params).await
    }

    async fn on(daemon: Daemon, params: Value) -> Case {
        let made = daemon.send("POST /v1/goals", &params.to_string()).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = goal_of(&made).id;
        Case { daemon, id }
    }

    /// Makes a goal with so many links.
    async fn linked(links: usize) -> Case {
        let case = Case::new(json!({"description": "linked"})).await;
        for n in 0..links {
            case.link(&format!("w-{n}")).await;
        }
        case
    }

    async fn link(&self, session_id: &str) -> GoalView {
        goal_of(&self.post("/links", json!({"session_id": session_id, "task": "t"})).await)
    }

    async fn verify(&self, session_id: &str) -> GoalView {
        let said = json!({"session_id": session_id, "person": "Ada", "words": "I looked"});
        goal_of(&self.post("/evidence", said).await)
    }

    /// Posts to what is below the goal's route.
    async fn post(&self, what: &str, body: Value) -> Raw {
        self.daemon.send(&format!("POST /v1/goals/{}{what}", self.id), &body.to_string()).await
    }

    async fn get(&self) -> Raw {
        self.daemon.send(&format!("GET /v1/goals/{}", self.id), "").await
    }

    async fn goal(&self) -> GoalView {
        goal_of(&self.get().await)
    }

    /// Posts what must be refused, and gives the status and what was said.
    async fn refused(&self, what: &str, body: Value) -> (u16, String) {
        let answer = self.post(what, body).await;
        assert!(answer.status >= 400, "{what}: {answer:?}");
        (answer.status, answer.error().error)
    }

    fn mirror(&self) -> Vec<Goal> {
        mirror(self.daemon.home.folder())
    }

    fn store(&self) -> Connection {
        Connection::open(self.daemon.path("store.db")).expect("the store is there")
    }
}

#[track_caller]
fn goal_of(answer: &Raw) -> GoalView {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn mirror(folder: &Path) -> Vec<Goal> {
    let text = fs::read_to_string(folder.join("goals.json")).expect("the mirror is there");
    serde_json::from_str(&text).expect("the mirror is JSON")
}

async fn list(daemon: &Daemon) -> GoalsView {
    let listed = daemon.send("GET /v1/goals", "").await;
    assert_eq!(listed.status, 200, "{listed:?}");
    serde_json::from_str(&listed.body).expect("a list")
}

#[tokio::test(flavor = "multi_thread")]
async fn case_01_a_new_goal_is_pending_with_nothing_done_and_its_acceptance() {
    let case = Case::new(json!({"description": "ship", "acceptance": ["tests pass", "it reads well"]})).await;
    let goal = case.goal().await;
    assert_eq!((goal.status.as_str(), goal.progress, goal.sessions.len()), ("pending", 0, 0));
    assert_eq!(goal.created, goal.updated);
    let texts: Vec<_> = goal.acceptance.iter().map(|criterion| criterion.text.as_str()).collect();
    assert_eq!((goal.description.as_str(), texts), ("ship", vec!["tests pass", "it reads well"]));
    case.daemon.stop().await;
}

/// Cases 2 and 10.
#[tokio::test(flavor = "multi_thread")]
async fn cases_02_and_10_a_link_is_launched_and_has_no_evidence() {
    let case = Case::new(json!({"description": "d"})).await;
    assert_eq!(case.goal().await.status, "pending");
    let link = &case.link("w-0").await.sessions[0];
    assert_eq!((link.state.as_str(), &link.evidence), ("launched", &None));
    case.daemon.stop().await;
}

/// Otherwise on purpose: a state has one name everywhere, that of the wire; there is no second one in PascalCase that
/// people and programs would have to translate, and it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn case_03_each_status_has_one_name() {
    let case = Case::new(json!({"description": "d"})).await;
    for name in ["inProgress", "blocked", "abandoned"] {
        let moved = case.post("/status", json!({"status": name, "reason": "r"})).await;
        assert_eq!(goal_of(&moved).status, name);
    }
    for label in ["Pending", "InProgress", "Blocked", "Done", "Abandoned"] {
        let (status, error) = case.refused("/status", json!({"status": label, "reason": "r"})).await;
        assert_eq!(status, 400);
        assert!(error.contains("known: pending, inProgress, blocked, done, abandoned"), "{error}");
    }
    case.daemon.stop().await;
}

/// Cases 4 and 9.
#[tokio::test(flavor = "multi_thread")]
async fn cases_04_and_09_only_verified_links_satisfy_and_all_of_them_must_be() {
    let case = Case::linked(2).await;
    case.verify("w-0").await;
    for state in ["launched", "running", "failed"] {
        let set = case.post("", json!({"session_id": "w-1", "state": state})).await;
        assert_eq!(goal_of(&set).sessions[1].state, state);
        let closed = case.post("/close", json!({})).await;
        assert_eq!((closed.status, closed.error().code.as_str()), (409, "goal_not_proved"), "{state}");
    }
    assert_eq!(case.verify("w-1").await.sessions[1].state, "verified");
    assert_eq!(goal_of(&case.post("/close", json!({})).await).status, "done");
    case.daemon.stop().await;
}

/// Cases 5, 6 and 8. Otherwise on purpose: a percentage is rounded down, so that 100 means all.
#[tokio::test(flavor = "multi_thread")]
async fn cases_05_06_and_08_progress_is_the_share_of_verified_links() {
    for (links, expected) in [(3, vec![33, 66, 100]), (4, vec![25, 50, 75, 100])] {
        let case = Case::linked(links).await;
        let mut told = Vec::new();
        for n in 0..links {
            told.push(case.verify(&format!("w-{n}")).await.progress);
        }
        assert_eq!(told, expected);
        case.daemon.stop().await;
    }
    let case = Case::linked(200).await;
    for n in 0..199 {
        case.verify(&format!("w-{n}")).await;
    }
    assert_eq!(case.goal().await.progress, 99, "199 of 200 are not all");
    case.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_07_without_links_nothing_is_verified() {
    let case = Case::new(json!({"description": "d", "acceptance": ["words"]})).await;
    assert_eq!(case.goal().await.progress, 0);
    let said = json!({"criterion": 0, "person": "Ada", "words": "yes"});
    assert_eq!(case.post("/evidence", said).await.status, 200);
    let (status, error) = case.refused("/close", json!({})).await;
    assert_eq!(status, 409);
    assert!(error.contains("a linked session or run, or a criterion with a check"), "{error}");
    case.daemon.stop().await;
}

/// Cases 11 and 12.
#[tokio::test(flavor = "multi_thread")]
async fn cases_11_and_12_a_goal_is_the_same_behind_the_wire_and_its_names_are_in_camel_case() {
    let all = json!({
        "description": "d", "acceptance": ["a", {"text": "b", "check": "true"}], "deadline": "2099-01-01T00:00:00Z",
        "recheck": "0 6 * * *", "budget": {"max_cost_usd": 2.5, "max_tokens": 9, "max_minutes": 3}, "project": "/p",
    });
    let case = Case::new(all).await;
    case.link("w-0").await;
    case.verify("w-0").await;
    case.post("/notes", json!({"note": "n"})).await;
    let raw = case.get().await;
    let (sent, goal): (Value, GoalView) = (serde_json::from_str(&raw.body).expect("JSON"), goal_of(&raw));
    assert_eq!(serde_json::to_value(&goal).expect("JSON"), sent);
    assert_eq!((&sent["status"], &sent["sessions"][0]["state"]), (&json!("inProgress"), &json!("verified")));
    case.daemon.stop().await;
}

/// Cases 13 and 25.
#[tokio::test(flavor = "multi_thread")]
async fn cases_13_and_25_an_id_has_16_digits_and_survives_with_its_description() {
    let Case { daemon, id } = Case::new(json!({"description": "outlive me"})).await;
    let digits = id.strip_prefix("g-").expect("the prefix of goals");
    assert!(digits.len() == 16 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    let case = Case { daemon: daemon.restarted().await, id };
    assert_eq!(case.goal().await.description, "outlive me");
    case.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_14_links_put_a_goal_in_progress_and_a_verified_one_counts() {
    let case = Case::linked(3).await;
    let goal = case.goal().await;
    assert_eq!((goal.status.as_str(), goal.progress), ("inProgress", 0));
    assert_eq!(case.verify("w-1").await.progress, 33);
    case.daemon.stop().await;
}

/// Cases 15 and 20.
#[tokio::test(flavor = "multi_thread")]
async fn cases_15_and_20_what_is_not_there_is_named() {
    let Case { daemon, id } = Case::new(json!({"description": "d"})).await;
    let nowhere = Case { daemon, id: "g-00000000000000ff".to_owned() };
    let (status, error) = nowhere.refused("/links", json!({"session_id": "w-0"})).await;
    assert!(status == 404 && error.contains("g-00000000000000ff"), "{status}: {error}");
    let case = Case { daemon: nowhere.daemon, id };
    for (what, body) in [
        ("", json!({"session_id": "w-9", "state": "running"})),
        ("/evidence", json!({"session_id": "w-9", "person": "Ada", "words": "yes"})),
    ] {
        let (status, error) = case.refused(what, body).await;
        assert!(status == 404 && error.contains("`w-9` is not linked"), "{status}: {error}");
    }
    case.daemon.stop().await;
}

/// Cases 16 and 17.
#[tokio::test(flavor = "multi_thread")]
async fn cases_16_and_17_the_gate_counts_and_lets_through_what_is_verified() {
    let case = Case::linked(2).await;
    case.verify("w-0").await;
    let refused = case.post("/close", json!({})).await;
    assert_eq!((refused.status, refused.error().code.as_str()), (409, "goal_not_proved"), "{refused:?}");
    let details = refused.error().details.expect("details");
    assert_eq!((&details["verified"], &details["total"]), (&json!(1), &json!(2)), "{details}");
    assert_eq!(details["criteria"], json!({"verified": 0, "total": 0}), "{details}");
    assert_eq!(case.goal().await.status, "inProgress");
    case.verify("w-1").await;
    let done = goal_of(&case.post("/close", json!({})).await);
    assert_eq!((done.status.as_str(), done.progress), ("done", 100));
    case.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_18_a_goal_is_blocked_without_proof() {
    let case = Case::linked(1).await;
    assert_eq!(goal_of(&case.post("/status", json!({"status": "blocked"})).await).status, "blocked");
    case.daemon.stop().await;
}

/// Otherwise on purpose: evidence is not a text that an update carries along, but is recorded with who says so, and it
/// alone verifies.
#[tokio::test(flavor = "multi_thread")]
async fn case_19_an_update_sets_a_links_state_and_a_note_and_evidence_is_recorded() {
    let case = Case::linked(1).await;
    let update = json!({"session_id": "w-0", "state": "running", "note": "it moves"});
    let goal = goal_of(&case.post("", update).await);
    assert_eq!((goal.sessions[0].state.as_str(), goal.notes), ("running", vec!["it moves".to_owned()]));
    let (status, error) = case.refused("", json!({"session_id": "w-0", "state": "verified"})).await;
    assert!(status == 409 && error.contains("needs evidence"), "{status}: {error}");
    let evidence = case.verify("w-0").await.sessions[0].evidence.clone().expect("evidence");
    assert_eq!((evidence.source["person"].as_str(), evidence.detail.as_str()), (Some("Ada"), "I looked"));
    case.daemon.stop().await;
}

/// Otherwise on purpose: the truth is a row of the store with its place in the journal; there is no tag.
#[tokio::test(flavor = "multi_thread")]
async fn case_21_each_change_is_kept_in_one_row_journalled_and_mirrored() {
    let case = Case::new(json!({"description": "d"})).await;
    let mut rows = Vec::new();
    for (what, body) in [
        ("/links", json!({"session_id": "w-0"})),
        ("/notes", json!({"note": "n"})),
        ("/status", json!({"status": "blocked"})),
    ] {
        assert_eq!(case.post(what, body).await.status, 200);
        rows.push(case.daemon.plane.events_of(&case.id, 0, 100).await.expect("readable").len());
        let stored = case.daemon.plane.goal_get(&case.id.parse().expect("an id")).await.expect("it is there");
        assert_eq!(case.mirror(), [stored], "{what}");
    }
    // The link brought the goal in progress as well.
    assert_eq!(rows, [3, 4, 5]);
    let count: i64 =
        case.store().query_row("SELECT count(*) FROM goals", (), |row| row.get(0)).expect("a number");
    assert_eq!(count, 1);
    case.daemon.stop().await;
}

/// Cases 22, 29 and 33. Otherwise on purpose: a mirror that is malformed is no error while the store can be read; it is
/// written anew before anybody is let in.
#[tokio::test(flavor = "multi_thread")]
async fn cases_22_29_and_33_a_mirror_that_is_gone_or_broken_is_written_from_the_store() {
    let mut case = Case::new(json!({"description": "first"})).await;
    case.daemon.send("POST /v1/goals", r#"{"description": "second"}"#).await;
    let whole = fs::read(case.daemon.path("goals.json")).expect("the mirror is there");
    for broken in [None, Some("[{]")] {
        let path = case.daemon.path("goals.json");
        match broken {
            None => fs::remove_file(&path).expect("it was there"),
            Some(text) => fs::write(&path, text).expect("it is written"),
        }
        case.daemon = case.daemon.restarted().await;
        assert_eq!(fs::read(case.daemon.path("goals.json")).expect("it is there again"), whole);
        let listed = case.daemon.plane.goal_list(Default::default()).await.expect("readable").goals;
        assert_eq!((case.mirror(), listed.len()), (listed, 2));
    }
    case.daemon.stop().await;
}

/// A store that cannot be opened keeps the daemon from starting; then the command line shows the mirror
/// (`crates/app/tests/it/goals.rs`). Here the table cannot be read while the daemon runs.
#[tokio::test(flavor = "multi_thread")]
async fn case_23_what_cannot_be_read_comes_out_of_the_mirror_and_says_so() {
    let case = Case::new(json!({"description": "seen"})).await;
    assert_eq!(case.post("/status", json!({"status": "blocked"})).await.status, 200);
    let before = case.goal().await;
    assert_eq!(before.stale_since, None);
    case.store().execute("UPDATE goals SET acceptance = '{'", ()).expect("it is spoilt");

    let page = list(&case.daemon).await;
    let since = page.stale_since.clone().expect("it is marked");
    assert_eq!(page.goals, std::slice::from_ref(&before));
    let shown = case.goal().await;
    assert_eq!(shown.stale_since.as_ref(), Some(&since));
    assert_eq!(GoalView { stale_since: None, ..shown }, before);
    let blocked = case.daemon.send("GET /v1/goals?status=blocked", "").await;
    let blocked: GoalsView = serde_json::from_str(&blocked.body).expect("a list");
    assert_eq!((blocked.goals.len(), blocked.stale_since.is_some()), (1, true));
    let unknown = case.daemon.send("GET /v1/goals/g-00000000000000ff", "").await;
    assert_eq!(unknown.status, 404);
    // What changes a goal needs the truth.
    let (status, _) = case.refused("/notes", json!({"note": "n"})).await;
    assert!(status >= 500, "{status}");
    case.daemon.stop().await;
}

/// Otherwise on purpose: with neither store nor mirror there is an error; nobody is told that there are no goals.
#[tokio::test(flavor = "multi_thread")]
async fn cases_30_and_33_without_a_mirror_or_with_a_broken_one_an_unreadable_store_is_an_error() {
    let case = Case::new(json!({"description": "lost"})).await;
    case.store().execute("UPDATE goals SET acceptance = '{'", ()).expect("it is spoilt");
    for broken in [Some("[{]"), None] {
        match broken {
            Some(text) => fs::write(case.daemon.path("goals.json"), text).expect("it is written"),
            None => fs::remove_file(case.daemon.path("goals.json")).expect("it was there"),
        }
        let listed = case.daemon.send("GET /v1/goals", "").await;
        assert_eq!((listed.status, listed.error().code.as_str()), (503, "store_unreadable"), "{listed:?}");
        assert!(case.get().await.status >= 500);
    }
    case.daemon.stop().await;
}

/// A daemon whose disk is full for as long as somebody says so.
async fn with_disk() -> (Daemon, Arc<AtomicBool>) {
    let is_full = Arc::new(AtomicBool::new(false));
    let full = is_full.clone();
    let daemon = Daemon::with_settings(move |settings| {
        let hook = move |_| full.load(Ordering::SeqCst).then_some(CommitFault::Refuse(DiskFault::Full));
        settings.faults.commits = Some(CommitHook::new(hook));
    })
    .await;
    (daemon, is_full)
}

/// Cases 24 and 26.
#[tokio::test(flavor = "multi_thread")]
async fn cases_24_and_26_a_goal_that_cannot_be_kept_is_refused_with_the_reason_and_is_nowhere() {
    let (daemon, is_full) = with_disk().await;
    is_full.store(true, Ordering::SeqCst);
    let refused = daemon.send("POST /v1/goals", r#"{"description": "d"}"#).await;
    assert_eq!((refused.status, refused.error().code.as_str()), (503, "store_full"), "{refused:?}");
    assert!(refused.error().error.contains("refused the change"), "{refused:?}");
    is_full.store(false, Ordering::SeqCst);
    assert!(list(&daemon).await.goals.is_empty());
    assert!(mirror(daemon.home.folder()).is_empty());
    let daemon = daemon.restarted().await;
    assert!(list(&daemon).await.goals.is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_27_a_change_that_cannot_be_kept_leaves_the_goal_as_it_was() {
    let (daemon, is_full) = with_disk().await;
    let case = Case::on(daemon, json!({"description": "d", "acceptance": ["words"]})).await;
    case.link("w-0").await;
    let (before, mirror) =
        (case.get().await.body, fs::read(case.daemon.path("goals.json")).expect("it is there"));
    is_full.store(true, Ordering::SeqCst);
    for (what, body) in [
        ("/links", json!({"session_id": "w-1"})),
        ("", json!({"session_id": "w-0", "state": "running"})),
        ("/evidence", json!({"criterion": 0, "person": "Ada", "words": "yes"})),
        ("/notes", json!({"note": "n"})),
        ("/status", json!({"status": "blocked"})),
    ] {
        let (status, _) = case.refused(what, body).await;
        assert_eq!(status, 503, "{what}");
        assert_eq!(case.get().await.body, before, "{what}");
        assert_eq!(fs::read(case.daemon.path("goals.json")).expect("it is there"), mirror, "{what}");
    }
    is_full.store(false, Ordering::SeqCst);
    assert_eq!(case.post("/notes", json!({"note": "n"})).await.status, 200, "it goes on when there is room");
    case.daemon.stop().await;
}

/// Cases 28, 31 and 32. Otherwise on purpose: the mirror stands at the top of the data folder, where people look, and is
/// there from the daemon's start on, before anybody is told where the daemon is.
#[tokio::test(flavor = "multi_thread")]
async fn cases_28_31_and_32_the_mirror_is_one_whole_file_in_the_data_folder() {
    let daemon = Daemon::start().await;
    let path = daemon.path("goals.json");
    assert_eq!(fs::read_to_string(&path).expect("it is there at once"), "[\n]\n");
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o600);
    let case = Case::on(daemon, json!({"description": "a goal with many words"})).await;
    let first = fs::metadata(&path).expect("it is there");
    let opened = fs::File::open(&path).expect("it opens");
    assert_eq!(case.post("", json!({"description": "d"})).await.status, 200);
    let second = fs::metadata(&path).expect("it is there");
    assert_ne!(first.ino(), second.ino(), "it is another file");
    let old: Vec<Goal> =
        serde_json::from_reader(opened).expect("who has the old one open reads it to its end");
    assert_eq!(
        (old[0].description.as_str(), case.mirror()[0].description.as_str()),
        ("a goal with many words", "d")
    );
    let names = fs::read_dir(case.daemon.home.folder()).expect("the folder is there");
    let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    assert_eq!(names.filter(|name| name.contains("goals")).collect::<Vec<_>>(), ["goals.json"]);
    case.daemon.stop().await;
}

/// Otherwise on purpose: there is no build without goals, so no code for that.
#[tokio::test(flavor = "multi_thread")]
async fn case_34_a_goal_that_is_made_is_answered_and_listed() {
    let daemon = Daemon::start().await;
    let made = daemon.send("POST /v1/goals", r#"{"description": "ship", "acceptance": ["a"]}"#).await;
    let top: Value = serde_json::from_str(&made.body).expect("JSON");
    assert_eq!((made.status, &top["description"]), (201, &json!("ship")));
    let listed = list(&daemon).await.goals;
    assert_eq!(
        (listed.len(), listed[0].id.as_str()),
        (1, top["id"].as_str().expect("the id stands at the top"))
    );
    daemon.stop().await;
}

/// An agent in print mode: writes what it is told into a file, says what it has not done, and does what it has to.
fn agent(work: &str) -> String {
    format!(
        r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  printf '%s\n' "$line" >> "$1"
  echo '{{"type":"system","subtype":"init","session_id":"S1","model":"m"}}'
  {work}
  echo '{{"type":"result","is_error":false,"result":"test result: ok. 3 passed; see https://github.com/o/r/pull/7"}}'
done
"#
    )
}

/// Makes a goal whose check wants a file, with an agent that does some work for it.
async fn pursued(work: &str) -> Case {
    let script = agent(work);
    let daemon = Daemon::with_settings(|settings| {
        let folder = &settings.folder;
        fs::create_dir_all(folder.join("agents")).expect("the folder is made");
        fs::write(folder.join("agent.sh"), script).expect("the agent is written");
        let [script, told] = ["agent.sh", "told"].map(|name| folder.join(name).display().to_string());
        for (name, program) in [("worker", "/bin/sh"), ("nobody", "/nonexistent/agent")] {
            let profile = format!(
                "name = \"{name}\"\nprogram = \"{program}\"\n[[driver]]\nkind = \"headless\"\nprompt = \"protocol\"\n\
                 stream = \"claude_stream_json\"\nargs = [[\"{script}\", \"{told}\"]]\n"
            );
            fs::write(folder.join(format!("agents/{name}.toml")), profile).expect("the profile is written");
        }
        repository::with_one_file(&folder.join("project"));
    })
    .await;
    let project = daemon.path("project");
    let check = json!([{"text": "it is made", "check": "test -f made.txt"}]);
    Case::on(daemon, json!({"description": "make made.txt", "acceptance": check, "project": project})).await
}

/// Waits until the pursuit of a goal is over.
async fn ended(case: &Case) -> Goal {
    let id = case.id.parse().expect("an id");
    until(&case.daemon.plane, async || {
        Ok(Some(case.daemon.plane.goal_get(&id).await?).filter(|goal| goal.pursued().is_none()))
    })
    .await
}

/// Otherwise on purpose: what an agent says proves nothing, checks that Adjutant runs itself do.
#[tokio::test(flavor = "multi_thread")]
async fn case_35_a_pursuit_whose_check_passes_is_done_and_its_agent_was_told_once() {
    let case = pursued("echo made > made.txt").await;
    let begun = case.post("/pursue", json!({"agent": "worker"})).await;
    assert_eq!((begun.status, goal_of(&begun).status.as_str()), (200, "inProgress"), "{begun:?}");
    let goal = ended(&case).await;
    assert_eq!((goal.status.as_str(), goal.sessions.len()), ("done", 1), "{:?}", goal.notes);
    let told = fs::read_to_string(case.daemon.path("told")).expect("the agent noted it");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("make made.txt") && told.contains("it is made (`test -f made.txt` succeeds)"),
        "{told}"
    );
    assert_eq!(list(&case.daemon).await.goals[0].status, "done");
    case.daemon.stop().await;
}

/// The agent says that tests pass and names a pull request, and is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn case_36_a_pursuit_without_evidence_is_not_done() {
    let case = pursued("true").await;
    case.post("/pursue", json!({"agent": "worker", "attempts": 2})).await;
    let goal = ended(&case).await;
    let pursuit = goal.pursuit.clone().expect("a pursuit");
    assert_eq!(
        (goal.status.as_str(), pursuit.attempt, goal.progress),
        ("inProgress", 2, 0),
        "{:?}",
        goal.notes
    );
    let told = fs::read_to_string(case.daemon.path("told")).expect("the agent noted it");
    assert!(told.contains("Attempt 2 of 2") && told.contains("it is made"), "{told}");
    let inbox = case.daemon.client.inbox().await.expect("the inbox").goals;
    assert_eq!((inbox.len(), inbox[0].kind.as_str()), (1, "pursuit_stopped"), "{inbox:?}");
    case.daemon.stop().await;
}

/// Otherwise on purpose: no model stands between a person and the sessions, so none could do the work itself. What
/// nobody could work in is refused, and begins nothing.
#[tokio::test(flavor = "multi_thread")]
async fn case_37_a_goal_that_no_session_can_work_for_is_not_pursued() {
    let case = Case::new(json!({"description": "d", "acceptance": [{"check": "true"}]})).await;
    let before = case.get().await.body;
    let (status, error) = case.refused("/pursue", json!({})).await;
    assert!(status == 409 && error.contains("has no project"), "{status}: {error}");
    assert_eq!(case.get().await.body, before);
    assert!(case.daemon.client.sessions_managed(Some("all")).await.expect("a list").sessions.is_empty());
    case.daemon.stop().await;
}

/// Otherwise on purpose: no provider of a model is asked; what may be missing is the agent.
#[tokio::test(flavor = "multi_thread")]
async fn case_38_an_agent_that_is_not_there_is_said() {
    let case = pursued("true").await;
    let (status, error) = case.refused("/pursue", json!({"agent": "stranger"})).await;
    assert!(status == 400 && error.contains("`stranger`"), "{status}: {error}");
    assert_eq!(case.goal().await.pursuit, None);
    // One whose program is missing.
    case.post("/pursue", json!({"agent": "nobody"})).await;
    let goal = ended(&case).await;
    let alert = goal.alert.expect("a person should look");
    assert!(alert.text.contains("/nonexistent/agent"), "{}", alert.text);
    case.daemon.stop().await;
}

/// Otherwise on purpose: this door answers 400 with words, not a number of JSON-RPC.
#[tokio::test(flavor = "multi_thread")]
async fn case_39_what_is_blank_and_what_is_missing_are_told_apart() {
    let daemon = Daemon::start().await;
    let mut told = Vec::new();
    for body in [r#"{}"#, r#"{"description": " "}"#, r#"{"description": 3}"#] {
        let refused = daemon.send("POST /v1/goals", body).await;
        assert_eq!((refused.status, refused.error().code.as_str()), (400, "invalid_request"), "{body}");
        told.push(refused.error().error);
    }
    assert!(told[0].contains("missing field `description`"), "{told:?}");
    assert!(told[1].contains("the description is blank"), "{told:?}");
    assert!(told[2].contains("expected a string"), "{told:?}");
    daemon.stop().await;
}
