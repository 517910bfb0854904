//! The orbit: the flow that an epoch runs, as the setting has it now.

use crate::error::EngineError;
use crate::plane::Core;
use crate::registry;
use crate::tasks::read_blueprint;
use adjutant_model::Value;
use adjutant_model::issue::EnhanceSetting;
use adjutant_model::run::ErrorClass;
use adjutant_rules::enhance::DEFAULT_SETTING;
use adjutant_rules::enhance::setting::{self, lacks_spawner, with_spawner};
use std::sync::Arc;

/// What an epoch runs.
#[derive(Debug, Clone)]
pub(super) struct Orbit {
    pub(super) setting: Arc<EnhanceSetting>,
    /// With the setting's spawner in its place.
    pub(super) document: Value,
}

/// Whether an epoch can begin.
pub(super) enum Readiness {
    /// It can.
    Ready(Orbit),
    /// It cannot, and what people have to do about it.
    Waits(String),
}

/// Looks what an epoch would run; the setting is read anew each time.
///
/// # Errors
/// [`EngineError`] only for what may be otherwise in a moment.
pub(super) async fn current(core: &Core) -> Result<Readiness, EngineError> {
    let Some(setting) = core.store.enhance_setting_get(DEFAULT_SETTING).await? else {
        return Ok(Readiness::Waits(format!(
            "an enhance setting `{DEFAULT_SETTING}`, which says what gives the patches: \
             `adjutant enhance settings put {DEFAULT_SETTING} FILE`"
        )));
    };
    let orbit = registry::resolve(core, &setting.blueprint_id, &setting.version).await;
    match orbit.and_then(|(_, document)| ready(&document, &setting)) {
        Ok(document) if lacks_spawner(&document) => Ok(Readiness::Waits(format!(
            "a `{}`: the enhance setting `{}` names no `spawner`, and its orbit `{}` has none of its own",
            setting::SPAWNER,
            setting.id,
            setting.blueprint_id
        ))),
        Ok(document) => Ok(Readiness::Ready(Orbit { setting: Arc::new(setting), document })),
        Err(error) if matches!(error.class(), ErrorClass::Retry | ErrorClass::Bug) => Err(error),
        Err(error) => Ok(Readiness::Waits(format!(
            "an orbit that can run: the enhance setting `{}` names `{}`, and {error}",
            setting.id, setting.blueprint_id
        ))),
    }
}

/// Gives an orbit as a setting has it, when that can run.
///
/// # Errors
/// [`EngineError::Invalid`] when it has no place for the setting's spawner, [`EngineError::Blueprint`].
pub(super) fn ready(orbit: &Value, setting: &EnhanceSetting) -> Result<Value, EngineError> {
    let document = match &setting.spawner {
        Some(spawner) => {
            with_spawner(orbit, spawner).map_err(|refusal| EngineError::invalid(refusal.to_string()))?
        }
        None => orbit.clone(),
    };
    read_blueprint(&document).map_err(|lints| EngineError::Blueprint { lints })?;
    Ok(document)
}
