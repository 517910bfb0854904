//! Probing: programs that tell their version, and programs that do not.

use crate::hosted::Stage;
use adjutant_model::profile::{AgentProfile, DriverSpec};
use adjutant_model::session::DriverKind;
use adjutant_sessions::probe::{ProbePlace, Probed, Prober};
use adjutant_testkit::environment;
use std::os::unix::fs::PermissionsExt;

fn is_known(range: &str, version: &str) -> bool {
    range == version
}

/// A place with programs of its own in front of the machine's.
fn programs(stage: &Stage, scripts: &[(&str, &str)]) -> Vec<(String, String)> {
    for (name, script) in scripts {
        let path = stage.write(name, &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut env = environment::hermetic(stage.dir.path());
    for (name, value) in &mut env {
        if name == "PATH" {
            *value = format!("{}:{value}", stage.dir.path().display());
        }
    }
    env
}

fn profile(stage: &Stage, program: &str, known: Option<&str>) -> AgentProfile {
    let spec = stage.script(DriverKind::Headless, "");
    let mut profile = (*spec.profile).clone();
    let adapter = DriverSpec {
        driver: DriverKind::Acp,
        program: Some("no-such-adapter".to_owned()),
        ..profile.drivers[0].clone()
    };
    profile.drivers.push(adapter);
    profile.program = program.to_owned();
    profile.version.known = known.map(str::to_owned);
    profile
}

async fn probed(stage: &Stage, env: &[(String, String)], profile: &AgentProfile) -> Probed {
    let place = ProbePlace {
        env,
        cwd: stage.dir.path(),
        adjutant: stage.dir.path(),
        hosts: &[DriverKind::Headless, DriverKind::Acp],
        is_known,
    };
    Prober::default().probe(profile, place).await
}

#[tokio::test]
async fn a_program_tells_its_version_and_what_is_missing_is_said() {
    let stage = Stage::new();
    let env = programs(&stage, &[("agent", "echo agent 1.2.3"), ("odd", "echo hello"), ("bad", "exit 4")]);
    let known = probed(&stage, &env, &profile(&stage, "agent", Some("1.2.3"))).await;
    assert_eq!((known.version.as_deref(), known.drivers), (Some("1.2.3"), vec![DriverKind::Headless]));
    assert_eq!(known.warnings.len(), 1);
    assert!(known.warnings[0].contains("`no-such-adapter`"), "{:?}", known.warnings);
    let rows = [
        ("agent", "version 1.2.3 of `agent` was not tried"),
        ("odd", "names no version"),
        ("bad", "did not end well"),
        ("absent", "the program `absent` was not found in PATH"),
        ("", "the profile has no `program`"),
    ];
    for (program, warning) in rows {
        let found = probed(&stage, &env, &profile(&stage, program, Some("9.9.9"))).await;
        assert!(found.warnings.iter().any(|line| line.contains(warning)), "{program}: {:?}", found.warnings);
        assert_eq!(found.drivers.is_empty(), found.path.is_none(), "{program}");
    }
}

#[tokio::test]
async fn a_program_is_asked_once_until_its_file_changes() {
    let stage = Stage::new();
    let count = "echo x >> asked; echo 1.0.$(wc -l < asked)";
    let env = programs(&stage, &[("agent", count)]);
    let profile = profile(&stage, "agent", None);
    let prober = Prober::default();
    let hosts = [DriverKind::Headless];
    let adjutant = stage.dir.path();
    let place = ProbePlace { env: &env, cwd: stage.dir.path(), adjutant, hosts: &hosts, is_known };
    for _ in 0..3 {
        assert_eq!(prober.probe(&profile, place).await.version.as_deref(), Some("1.0.1"));
    }
    let file = std::fs::File::options().write(true).open(stage.dir.path().join("agent")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    assert_eq!(prober.probe(&profile, place).await.version.as_deref(), Some("1.0.2"));
}
