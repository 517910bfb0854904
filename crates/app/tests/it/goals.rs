//! Goals from the command line.

use crate::BINARY;
use adjutant_testkit::TestEnv;

#[test]
fn a_check_that_fails_ends_the_command_so_and_a_refused_close_says_what_comes_next() {
    let env = TestEnv::new(BINARY);
    env.project();
    let made =
        env.run(&["goal", "new", "Slugs are clean", "--check", "sh tests/run.sh", "--repo", "project"]);
    let made = made.expect(0).stdout;
    let goal = made.split_whitespace().next().unwrap();

    let refused = env.run(&["goal", "close", goal]).expect(1);
    let hint = format!("hint: `adjutant --home [HOME] goal check {goal}` runs its checks now\n");
    assert!(refused.stderr.ends_with(&hint), "{}", refused.stderr);
    let failed = env.run(&["goal", "check", goal]).expect(1);
    assert!(failed.stdout.contains("failed: exit 1"), "{}", failed.stdout);
    let expected = format!(
        "error: 1 of 1 checks did not pass\nhint: they ran in [ROOT]/work/project; when it is mended: `adjutant --home \
         [HOME] goal check {goal}`\n"
    );
    assert_eq!(failed.stderr, expected);
    let refused = env.run(&["goal", "close", goal]).expect(1);
    assert!(refused.stderr.contains("hint: mend what the check found, then `adjutant"), "{}", refused.stderr);

    env.file("project/tests/run.sh", "true\n");
    assert!(env.run(&["goal", "check", goal]).expect(0).stderr.is_empty());
    let closed = env.run(&["goal", "close", goal]).expect(0).stdout;
    assert!(closed.contains("  done  "), "{closed}");
}
