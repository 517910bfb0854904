//! A place where the built binary runs: home, data folder, and a `PATH` with nothing but what is named here.

use crate::{environment, repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// The programs that tests, the sample project and git itself need; no agent is among them.
const PROGRAMS: [&str; 16] = [
    "sh", "git", "tr", "sed", "dirname", "cat", "rm", "head", "printf", "touch", "mkdir", "grep", "env",
    "tail", "ls", "tmux",
];

/// A command that takes longer than this hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A place where one test lives. Its daemon ends with it, and its terminals.
#[derive(Debug)]
pub struct TestEnv {
    folder: TempDir,
    root: PathBuf,
    home: PathBuf,
    binary: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, with the folders of the test replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// The whole outcome.
    pub output: Output,
}

impl TestEnv {
    /// Makes an empty one for a binary, whose data folder is named `home`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self::with_home(binary, "home")
    }

    /// Makes one whose data folder has this name.
    pub fn with_home(binary: impl Into<PathBuf>, name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("adj").tempdir().expect("a folder for the test");
        let root = folder.path().canonicalize().expect("it is there");
        for made in ["user", "bin", "work", "tmp"] {
            fs::create_dir(root.join(made)).expect("the folder is made");
        }
        let path = environment::path();
        for program in PROGRAMS {
            let found =
                std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
            if let Some(found) = found {
                symlink(found, root.join("bin").join(program)).expect("the program is linked");
            }
        }
        TestEnv { home: root.join(name), root, folder, binary: binary.into() }
    }

    /// Gives the data folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Gives the folder that all of it is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a path in the folder that commands run in.
    pub fn work(&self, name: &str) -> PathBuf {
        self.root.join("work").join(name)
    }

    /// Writes a file into the folder that commands run in.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.work(name);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("the folder is made");
        fs::write(&path, content).expect("the file is written");
        path
    }

    /// Gives a command of the binary, ready to run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(&self.binary);
        command.args(args);
        command
    }

    /// Gives a command of another program, with the same environment.
    pub fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", self.root.join("bin"))
            .env("HOME", self.root.join("user"))
            .env("TMPDIR", self.root.join("tmp"))
            .env("XDG_RUNTIME_DIR", self.root.join("tmp"))
            .env("ADJUTANT_HOME", &self.home)
            .env("COLUMNS", "100")
            .env("LANG", "C.UTF-8")
            .current_dir(self.root.join("work"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Ran {
        self.finish(&mut self.command(args))
    }

    /// Runs a command to its end; one that does not end in time is killed, and the test fails.
    #[must_use]
    #[track_caller]
    pub fn finish(&self, command: &mut Command) -> Ran {
        let child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let pid = Pid::from_child(&child);
        let (ended, end) = mpsc::channel();
        let waiting = std::thread::spawn(move || ended.send(child.wait_with_output()));
        let output = end.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            let _it_may_be_gone = kill_process(pid, Signal::KILL);
            panic!("{command:?} has not ended within {} s", DEADLINE.as_secs())
        });
        drop(waiting.join());
        let output = output.expect("its output is read");
        let stdout = self.redacted(&output.stdout);
        let stderr = self.redacted(&output.stderr);
        Ran { code: output.status.code(), stdout, stderr, output }
    }

    fn redacted(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        text.replace(&*self.home.to_string_lossy(), "[HOME]").replace(&*self.root.to_string_lossy(), "[ROOT]")
    }

    /// Reads `daemon.json`, when it is there.
    pub fn daemon_json(&self) -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(self.home.join("daemon.json")).ok()?).ok()
    }

    /// Gives the daemon's pid.
    pub fn daemon_pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.daemon_json()?["pid"].as_i64()?).ok()?)
    }

    /// Makes a project: a repository with the sample project in it.
    pub fn project(&self) -> PathBuf {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sample-project");
        let project = self.work("project");
        fs::create_dir_all(project.join("tests")).expect("the folder is made");
        for name in ["slug.sh", "tests/run.sh", "README.md"] {
            fs::copy(sample.join(name), project.join(name)).expect("the sample is copied");
        }
        repository::init(&project);
        project
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        // A killed daemon parks its runs like any other; nothing of it is looked at after this.
        if let Some(pid) = self.daemon_pid() {
            kill_process(pid, Signal::KILL).ok();
        }
        environment::end_hosted(&self.home);
    }
}

impl Ran {
    /// Says what happened when it did not end with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}
