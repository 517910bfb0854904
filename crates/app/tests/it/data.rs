//! The data path and tokens from the command line.

use crate::BINARY;
use adjutant_testkit::TestEnv;

#[test]
fn a_file_is_put_listed_and_fetched_again() {
    let env = TestEnv::new(BINARY);
    env.file("report.txt", "all is well\n");
    let put = env.run(&["data", "put", "report", "report.txt", "--type", "text/plain"]).expect(0).stdout;
    assert!(put.starts_with("{\"$output\":{"), "{put}");
    assert_eq!(env.run(&["data", "get", "report"]).expect(0).stdout, "all is well\n");
    env.run(&["data", "get", "report", "-o", "copy.txt"]).expect(0);
    assert_eq!(std::fs::read_to_string(env.work("copy.txt")).unwrap(), "all is well\n");
    let listed = env.run(&["data", "ls"]).expect(0).stdout;
    assert!(listed.contains("report") && listed.contains("12 bytes  text/plain  no run"), "{listed}");
    assert!(
        env.run(&["data", "get", "nothing"]).expect(4).stderr.contains("the output nothing was not found")
    );
    assert!(env.run(&["data", "put", "../x", "report.txt"]).expect(2).stderr.contains("is no name"));
    env.run(&["data", "put", "x", "missing.txt"]).expect(2);
}

#[test]
fn a_token_is_made_listed_and_taken_back() {
    let env = TestEnv::new(BINARY);
    let secret = env.run(&["token", "new", "--agent", "scout"]).expect(0).stdout;
    let listed = env.run(&["token", "ls"]).expect(0).stdout;
    assert!(!listed.contains(secret.trim()), "{listed}");
    let line = listed.lines().find(|line| line.contains("scout")).unwrap();
    let id = line.split_whitespace().next().unwrap();
    assert!(env.run(&["token", "revoke", id]).expect(0).stdout.contains("taken back"));
    assert!(!env.run(&["token", "ls"]).expect(0).stdout.contains("scout"));
    assert!(env.run(&["token", "ls", "--all"]).expect(0).stdout.contains("scout"));
    env.run(&["token", "revoke", id]).expect(4);
}
