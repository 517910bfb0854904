//! The console, the supervisor and the settings.

use super::{Client, ClientError, id};
use crate::http;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;

impl Client {
    /// Gives the daemon at one glance.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn console(&self) -> Result<http::ConsoleView, ClientError> {
        self.get("/v1/console").await
    }

    /// Gives the fleet, and whether agents that died by themselves are started again.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn supervisor(&self) -> Result<http::SupervisorView, ClientError> {
        self.get("/v1/supervisor").await
    }

    /// Says whether agents that died by themselves are started again.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn auto_resume_set(
        &self,
        params: http::AutoResumeParams,
    ) -> Result<http::AutoResumeView, ClientError> {
        self.answer(self.request(Method::PUT, "/v1/supervisor/auto_resume").json(&params)).await
    }

    /// Gives the settings.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn config(&self) -> Result<http::ConfigView, ClientError> {
        self.get("/v1/config").await
    }

    /// Changes settings, all of them or none; null takes one out of the file.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn config_set(&self, set: BTreeMap<String, Value>) -> Result<http::ConfigView, ClientError> {
        let params = http::ConfigParams { set };
        self.answer(self.request(Method::PATCH, "/v1/config").json(&params)).await
    }

    /// Gives what a run cost, with all that was started for it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run_cost(&self, run_id: &str) -> Result<http::CostView, ClientError> {
        self.get(&format!("/v1/runs/{}/cost", id(run_id)?)).await
    }

    /// Gives what a goal cost.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goal_cost(&self, goal_id: &str) -> Result<http::CostView, ClientError> {
        self.get(&format!("/v1/goals/{}/cost", id(goal_id)?)).await
    }

    /// Gives the metrics as Prometheus reads them.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.text("/metrics").await
    }
}
