//! Settings of the enhance loop: what they may say, and the flow that an epoch runs by them.

use super::{AXES, DEFAULT_ORBIT};
use crate::blueprint::is_id;
use adjutant_model::Value;
use adjutant_model::issue::EnhanceSetting;
use std::sync::Arc;
use thiserror::Error;

/// The agent of an orbit that gives the patch.
pub const SPAWNER: &str = "patch-spawner";
/// The program that a `patch-spawner` names when nobody has said yet what gives the patches.
pub const NO_SPAWNER: &str = "no-patch-spawner";
/// An epoch may take so long, in seconds: seven days.
pub const TTL_SECS_MAX: u64 = 604_800;
/// A setting has at most so many axes.
pub const AXES_MAX: usize = 32;
/// `meta` and `spawner` take at most so many bytes as JSON, each.
pub const VALUE_BYTES_MAX: u64 = 256 << 10;

/// Why a setting cannot be kept; nothing was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SettingRefusal {
    #[error("`{id}` is no id of a setting")]
    Id { id: String },
    #[error("ttl_secs: 0 in the enhance setting `{id}`: an epoch would be over before it began")]
    ZeroTtl { id: String },
    #[error("ttl_secs: an epoch may take at most {TTL_SECS_MAX} s, not {secs}")]
    LongTtl { secs: u64 },
    #[error("verifier_axes: without an axis every patch would be committed unseen")]
    NoAxes,
    #[error("verifier_axes: at most {AXES_MAX}, found {count}")]
    ManyAxes { count: usize },
    #[error("verifier_axes[{index}]: `{axis}` is no name of an axis")]
    Axis { index: usize, axis: String },
    #[error("verifier_axes[{index}]: `{axis}` stands there twice")]
    AxisTwice { index: usize, axis: String },
    #[error("verifier_axes[{index}]: `{DEFAULT_ORBIT}` has no axis `{axis}`")]
    UnknownAxis { index: usize, axis: String },
    #[error("`{field}` must be an object")]
    NotAnObject { field: &'static str },
    #[error("`{field}` takes more than {VALUE_BYTES_MAX} bytes")]
    TooLarge { field: &'static str },
}

impl SettingRefusal {
    /// Gives what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            SettingRefusal::Id { .. } | SettingRefusal::Axis { .. } => {
                Some("1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit".to_owned())
            }
            SettingRefusal::UnknownAxis { .. } | SettingRefusal::NoAxes => {
                Some(format!("its axes: {}", AXES.join(", ")))
            }
            SettingRefusal::ZeroTtl { .. }
            | SettingRefusal::LongTtl { .. }
            | SettingRefusal::ManyAxes { .. }
            | SettingRefusal::AxisTwice { .. }
            | SettingRefusal::NotAnObject { .. }
            | SettingRefusal::TooLarge { .. } => None,
        }
    }
}

/// Looks whether a setting may be kept.
///
/// # Errors
/// [`SettingRefusal`] for the first thing that may not be.
pub fn check(setting: &EnhanceSetting) -> Result<(), SettingRefusal> {
    if !is_id(&setting.id) {
        return Err(SettingRefusal::Id { id: setting.id.chars().take(80).collect() });
    }
    match setting.ttl_secs {
        0 => return Err(SettingRefusal::ZeroTtl { id: setting.id.clone() }),
        secs if secs > TTL_SECS_MAX => return Err(SettingRefusal::LongTtl { secs }),
        _ => {}
    }
    let axes = &setting.verifier_axes;
    if axes.is_empty() {
        return Err(SettingRefusal::NoAxes);
    }
    if axes.len() > AXES_MAX {
        return Err(SettingRefusal::ManyAxes { count: axes.len() });
    }
    for (index, axis) in axes.iter().enumerate() {
        check_axis(setting, index, axis)?;
    }
    for (field, value) in [("spawner", setting.spawner.as_ref()), ("meta", Some(&setting.meta))] {
        let Some(value) = value else { continue };
        if value.as_object().is_none() {
            return Err(SettingRefusal::NotAnObject { field });
        }
        if value.size_bytes() > VALUE_BYTES_MAX {
            return Err(SettingRefusal::TooLarge { field });
        }
    }
    Ok(())
}

fn check_axis(setting: &EnhanceSetting, index: usize, axis: &str) -> Result<(), SettingRefusal> {
    let shown = || axis.chars().take(80).collect();
    if !is_id(axis) {
        return Err(SettingRefusal::Axis { index, axis: shown() });
    }
    if setting.verifier_axes[..index].iter().any(|before| before == axis) {
        return Err(SettingRefusal::AxisTwice { index, axis: shown() });
    }
    // A flow of one's own has axes of its own.
    if setting.blueprint_id == DEFAULT_ORBIT && !AXES.contains(&axis) {
        return Err(SettingRefusal::UnknownAxis { index, axis: shown() });
    }
    Ok(())
}

/// An orbit has no agent that a setting's spawner could take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the setting has a spawner, and the orbit has no agent `{SPAWNER}` that it could take the place of")]
pub struct SpawnerAgentNotFound;

/// Gives an orbit with the setting's spawner in the place of its `patch-spawner`: under that name whatever its own was,
/// and with the orbit's profile when it brings none.
///
/// # Errors
/// [`SpawnerAgentNotFound`]
pub fn with_spawner(orbit: &Value, spawner: &Value) -> Result<Value, SpawnerAgentNotFound> {
    let mut document = orbit.as_object().cloned().ok_or(SpawnerAgentNotFound)?;
    let agents = document.get("agents").and_then(Value::as_array).ok_or(SpawnerAgentNotFound)?;
    let place = agents.iter().position(is_spawner).ok_or(SpawnerAgentNotFound)?;
    let mut agent = spawner.as_object().cloned().unwrap_or_default();
    agent.insert("name".into(), Value::from(SPAWNER));
    if let (None, Some(profile)) = (agent.get("profile"), agents[place].get("profile")) {
        agent.insert("profile".into(), profile.clone());
    }
    let mut agents = agents.to_vec();
    agents[place] = Value::Object(agent);
    document.insert(Arc::from("agents"), Value::array(agents));
    Ok(Value::Object(document))
}

/// Tells whether nobody has said yet what gives the patches of an orbit.
pub fn lacks_spawner(orbit: &Value) -> bool {
    let agents = orbit.get("agents").and_then(Value::as_array).unwrap_or_default();
    agents
        .iter()
        .filter(|agent| is_spawner(agent))
        .any(|agent| agent.pointer("/spec/argv/0").and_then(Value::as_str) == Some(NO_SPAWNER))
}

fn is_spawner(agent: &Value) -> bool {
    agent.get("name").and_then(Value::as_str) == Some(SPAWNER)
}
