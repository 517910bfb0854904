//! A newcomer's first minutes.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use serde_json::Value;
use std::fs;

#[test]
fn the_demo_ends_with_a_closed_goal_and_the_commands_that_it_names_work() {
    let env = TestEnv::new(BINARY);
    let project = env.work("demo");
    let shown = env.run(&["demo", "--dir", project.to_str().unwrap()]).expect(0);
    for expected in
        ["did not pass", "DENIED   Bash", "policy 'delete-outside-the-workspace'", "passed", "run done after"]
    {
        assert!(shown.stdout.contains(expected), "{expected} is missing:\n{}", shown.stdout);
    }
    assert!(!shown.stdout.contains('\x1b'), "no escape sequences into a pipe");
    let closed =
        shown.stdout.lines().find(|line| line.contains("  done  100 %")).expect("the goal is closed");
    let goal_id = closed.split_whitespace().next().unwrap();

    let goal = env.run(&["goal", "show", goal_id, "--json"]).expect(0);
    let goal: Value = serde_json::from_str(&goal.stdout).unwrap();
    let evidence = &goal["acceptance"][0]["evidence"];
    assert_eq!((&goal["status"], &evidence["passed"]), (&"done".into(), &true.into()));
    let run_id = goal["sessions"][0]["session_id"].as_str().unwrap();

    let trace = env.run(&["trace", run_id]).expect(0).stdout;
    assert!(trace.contains("rejected"), "{trace}");
    let diff = env.run(&["workspace", "diff", run_id]).expect(0).stdout;
    assert!(diff.contains("+printf") && diff.contains("sed 's/^-//; s/-$//'"), "{diff}");
    let merge = env
        .program("git")
        .arg("-C")
        .arg(&project)
        .args(["merge", "--quiet", &format!("adjutant/{run_id}")])
        .status();
    assert!(merge.unwrap().success());
    let tests = env.program("sh").arg("tests/run.sh").current_dir(&project).output().unwrap();
    assert!(tests.status.success());
    let tree =
        env.program("git").arg("-C").arg(&project).args(["rev-parse", "HEAD^{tree}"]).output().unwrap();
    assert_eq!(evidence["tree"].as_str().unwrap(), String::from_utf8(tree.stdout).unwrap().trim());

    let verified = env.run(&["journal", "verify"]).expect(0).stdout;
    assert!(verified.starts_with("the journal is sound: "), "{verified}");
    env.run(&["workspace", "rm", run_id]).expect(0);
    assert!(!env.home().join("workspaces").join(run_id).exists());
}

#[test]
fn a_folder_that_is_there_already_is_left_alone() {
    let env = TestEnv::new(BINARY);
    let kept = env.file("mine/notes.txt", "mine");
    let refused = env.run(&["demo", "--dir", "mine"]).expect(2);
    assert_eq!(refused.stderr, "error: mine is there already\nhint: name a folder that is not there yet\n");
    assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
}
