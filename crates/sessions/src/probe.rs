//! Finding out which agent programs are here, and what they can do.
//!
//! A program is asked for its version, once for each file as it is: by its path and when it was changed. What is not
//! known of it is said as a warning and never passed over.

use crate::process::{self, Exit, ProcessSpec};
use adjutant_model::profile::{AgentProfile, DriverSpec, OWN_PROGRAM};
use adjutant_model::session::DriverKind;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// How long a program may take to tell its version; programs on Node are slow on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// So much of what it answers is read.
const ANSWER_BYTES_MAX: usize = 4096;

/// So many answers are remembered.
const REMEMBERED_MAX: usize = 256;

/// What was found out about an agent on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The program, as its profile names it.
    pub program: String,
    /// Where it is; `None` when it is not here.
    pub path: Option<PathBuf>,
    /// Its version, as `1.2.3`; `None` when it could not be told.
    pub version: Option<String>,
    /// The drivers that can be used here, the best first.
    pub drivers: Vec<DriverKind>,
    /// What is missing or not known, for people.
    pub warnings: Vec<String>,
}

/// Where programs are looked for.
#[derive(Debug, Clone, Copy)]
pub struct ProbePlace<'a> {
    /// The environment that an agent would have.
    pub env: &'a [(String, String)],
    /// A folder in which a program may be started.
    pub cwd: &'a Path,
    /// Adjutant's own program.
    pub adjutant: &'a Path,
    /// The drivers that this machine can host anything with.
    pub hosts: &'a [DriverKind],
    /// Tells whether a version is one that a profile was tried with, by the profile's range.
    pub is_known: fn(range: &str, version: &str) -> bool,
}

/// What programs have answered.
#[derive(Debug, Default)]
pub struct Prober(Mutex<HashMap<Asked, Answer>>);

/// A program as it was when it was asked, and with which arguments.
type Asked = (PathBuf, SystemTime, Vec<String>);

/// What a program said when it was asked for its version.
#[derive(Debug, Clone)]
struct Answer {
    version: Option<String>,
    /// Why there is none.
    why: String,
}

impl Prober {
    /// Finds out about the agent of a profile.
    pub async fn probe(&self, profile: &AgentProfile, place: ProbePlace<'_>) -> Probed {
        let mut probed = Probed {
            program: profile.program.clone(),
            path: place.find(&profile.program),
            version: None,
            drivers: Vec::new(),
            warnings: Vec::new(),
        };
        for spec in &profile.drivers {
            match usable(spec, &probed, place) {
                Ok(()) => probed.drivers.push(spec.driver),
                Err(why) => probed.warnings.push(why),
            }
        }
        let Some(path) = probed.path.clone() else {
            probed.warnings.insert(0, missing(&profile.program));
            return probed;
        };
        let answer = self.version(&path, &profile.version.args, place).await;
        probed.warnings.extend(doubt(profile, &answer, place));
        probed.version = answer.version;
        probed
    }

    async fn version(&self, path: &Path, args: &[String], place: ProbePlace<'_>) -> Answer {
        let changed_at = path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let key = (path.to_owned(), changed_at, args.to_vec());
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let answer = ask(path, args, place).await;
        // One that gave no answer may give one another time.
        if answer.version.is_some() {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
            known.insert(key, answer.clone());
        }
        answer
    }
}

impl ProbePlace<'_> {
    fn find(&self, program: &str) -> Option<PathBuf> {
        if program == OWN_PROGRAM {
            return Some(self.adjutant.to_owned());
        }
        find_program(program, self.env, self.cwd)
    }
}

/// Finds the executable file that a program's name means: below `cwd` when it has a `/`, else in the `PATH` of `env`.
pub fn find_program(program: &str, env: &[(String, String)], cwd: &Path) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.is_empty() {
        return None;
    }
    if program.contains('/') {
        return Some(cwd.join(program)).filter(is_executable);
    }
    let (_, path) = env.iter().find(|(name, _)| name == "PATH")?;
    path.split(':').map(|folder| cwd.join(folder).join(program)).find(is_executable)
}

/// Tells whether a driver can host the agent here, or why not.
fn usable(spec: &DriverSpec, probed: &Probed, place: ProbePlace<'_>) -> Result<(), String> {
    let driver = spec.driver.as_str();
    if !place.hosts.contains(&spec.driver) {
        return Err(format!("this machine cannot host with the driver `{driver}`"));
    }
    match &spec.program {
        Some(other) if place.find(other).is_none() => {
            Err(format!("the driver `{driver}` needs the program `{other}`, which was not found in PATH"))
        }
        // That the program itself is missing is said once, for all.
        None if probed.path.is_none() => Err(format!("the driver `{driver}` has no program here")),
        Some(_) | None => Ok(()),
    }
}

fn missing(program: &str) -> String {
    if program.is_empty() {
        return "the profile has no `program`; give one in a profile of your own".to_owned();
    }
    format!("the program `{program}` was not found in PATH")
}

/// Says what is not known of a version.
fn doubt(profile: &AgentProfile, answer: &Answer, place: ProbePlace<'_>) -> Option<String> {
    let Some(version) = &answer.version else {
        let program = &profile.program;
        return Some(format!(
            "the version of `{program}` is not known: {}; whether its flags and hooks are as the profile says is not \
             known either",
            answer.why
        ));
    };
    let range = profile.version.known.as_ref()?;
    (!(place.is_known)(range, version)).then(|| {
        format!(
            "version {version} of `{}` was not tried; its profile is for {range}, and flags, hooks and streams may \
             differ",
            profile.program
        )
    })
}

async fn ask(path: &Path, args: &[String], place: ProbePlace<'_>) -> Answer {
    let unknown = |why: String| Answer { version: None, why };
    if args.is_empty() {
        return unknown("its profile does not say how to ask".to_owned());
    }
    let program = path.to_string_lossy().into_owned();
    let argv = std::iter::once(program).chain(args.iter().cloned()).collect();
    let spec = ProcessSpec {
        env: place.env.to_vec(),
        timeout: Some(PATIENCE),
        grace: Duration::from_secs(1),
        stdout_bytes_max: ANSWER_BYTES_MAX,
        stderr_tail_bytes: ANSWER_BYTES_MAX,
        ..ProcessSpec::new(argv, place.cwd.to_owned())
    };
    match process::run(spec, CancellationToken::new(), None).await {
        Err(error) => unknown(error.to_string()),
        Ok(outcome) if outcome.exit != Exit::Code(0) => {
            unknown(format!("`{}` did not end well: {:?}", args.join(" "), outcome.exit))
        }
        Ok(outcome) => {
            let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
            match version_in(&said).or_else(|| version_in(&outcome.stderr_tail)) {
                Some(version) => Answer { version: Some(version), why: String::new() },
                None => unknown("its answer names no version".to_owned()),
            }
        }
    }
}

/// Finds the first `1.2.3` in a text, with what a pre-release has behind it.
fn version_in(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let words = text.split(|c: char| !is_part(c));
    words.map(|word| word.trim_start_matches('v').trim_end_matches(['.', '-'])).find_map(|word| {
        let core = word.split(['-', '+']).next()?;
        let numbers: Vec<&str> = core.split('.').collect();
        let is_version = numbers.len() == 3
            && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        is_version.then(|| word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn a_version_is_found_in_whatever_is_said() {
        let rows = [
            ("2.1.329 (Claude Code)", Some("2.1.329")),
            ("codex-cli 0.169.0\n", Some("0.169.0")),
            ("v1.18.33", Some("1.18.33")),
            ("tool 1.2.3-rc.1+build.", Some("1.2.3-rc.1+build")),
            ("at 127.0.0.1 since 2026", None),
            ("1.2", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(version_in(text).as_deref(), expected, "{text}");
        }
    }
}
