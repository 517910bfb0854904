//! Programs that depend on nothing of the machine but `PATH`.

use adjutant_sessions::{Outcome, ProcessSpec, process};
use adjutant_testkit::environment;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Gives the spec of a shell script that must end within a minute.
pub(crate) fn shell(dir: &Path, script: &str) -> ProcessSpec {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    ProcessSpec {
        env: environment::hermetic(dir),
        timeout: Some(Duration::from_secs(60)),
        ..ProcessSpec::new(argv, dir.to_owned())
    }
}

/// Runs a program that nobody cancels or listens to.
pub(crate) async fn run(spec: ProcessSpec) -> Outcome {
    process::run(spec, CancellationToken::new(), None).await.unwrap()
}
