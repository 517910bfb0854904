//! Two issues as a scenario: one becomes a version, the other is denied.

use adjutant_engine::enhance::{IssueFilter, IssueParams, SettingParams, default_axes};
use adjutant_engine::registry::{BlueprintBase, BlueprintWrite, VersionSelector};
use adjutant_engine::{EngineError, Plane};
use adjutant_model::issue::{EnhanceSetting, Issue};
use adjutant_testkit::trial::{Life, Scenario};
use adjutant_testkit::{json, owner};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;

/// The blueprint is registered, the setting kept, and the issues are opened one behind the other.
#[derive(Debug)]
pub(crate) struct EnhanceCase;

/// A blueprint whose description the spawner replaces by the intent; the second time that is no change.
const INTENT: &str = "better";

impl EnhanceCase {
    async fn lay_out(&self, plane: &Plane) -> Result<(), EngineError> {
        if plane.blueprint_head("main").await.is_err() {
            let document = json(json!({"id": "main", "metadata": {"description": "good"},
                "flow": {"kind": "let", "at": "$.x", "value": {"op": "lit", "value": 1}}}));
            let (id, rationale) = ("main".to_owned(), String::new());
            let base = BlueprintBase::CreateOnly;
            plane
                .blueprint_write(&owner(), BlueprintWrite { id, document, base, rationale, label: None })
                .await?;
        }
        if plane.enhance_setting("default").await.is_ok() {
            return Ok(());
        }
        let source = "local ctx = ... return {rationale = 'it is', ops = {{op = 'replace', \
                      path = '/metadata/description', value = ctx.issue.intent}}}";
        let setting = EnhanceSetting {
            id: "default".to_owned(),
            blueprint_id: "enhance-default".to_owned(),
            version: VersionSelector::Latest,
            ttl_secs: 600,
            verifier_axes: default_axes(),
            spawner: Some(json(json!({"kind": "lua", "spec": {"source": source}}))),
            meta: json(json!({})),
        };
        plane.enhance_setting_put(&owner(), SettingParams { setting, orbit: None }).await.map(drop)
    }

    async fn issues(&self, plane: &Plane) -> Result<Vec<Issue>, EngineError> {
        plane.issue_list(IssueFilter { limit: 10, ..IssueFilter::default() }).await
    }

    /// Waits until all issues that there are have ended.
    async fn end(&self, plane: &Plane) -> Result<(), EngineError> {
        let mut committed = plane.committed();
        loop {
            committed.mark_unchanged();
            let issues = self.issues(plane).await?;
            if issues.iter().all(|issue| issue.state.status().is_terminal()) {
                return Ok(());
            }
            committed.changed().await.map_err(|_| EngineError::Stopping)?;
        }
    }
}

impl Scenario for EnhanceCase {
    fn name(&self) -> &str {
        "two issues"
    }

    fn prepare(&self, _home: &adjutant_testkit::Home) {}

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async {
            self.lay_out(&life.plane).await?;
            self.end(&life.plane).await?;
            while self.issues(&life.plane).await?.len() < 2 {
                let params = IssueParams { blueprint_id: "main".to_owned(), intent: INTENT.to_owned() };
                life.plane.issue_open(&owner(), params).await?;
                self.end(&life.plane).await?;
            }
            Ok(())
        })
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        None
    }
}
