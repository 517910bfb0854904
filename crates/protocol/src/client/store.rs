//! The care of the store.

use super::{Client, ClientError};
use crate::http;
use serde_json::json;

impl Client {
    /// Lets the daemon make a backup of the store.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn store_backup(&self, params: &http::BackupParams) -> Result<http::BackupView, ClientError> {
        self.post("/v1/store/backup", params).await
    }

    /// Lets the daemon look whether the store is whole.
    ///
    /// # Errors
    /// [`ClientError`] when it could not look; what is wrong stands in the answer.
    pub async fn store_check(&self) -> Result<http::CheckView, ClientError> {
        self.post("/v1/store/check", &json!({})).await
    }

    /// Lets a backup take the store's place; the daemon starts anew behind its answer.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn store_restore(
        &self,
        params: &http::StoreRestoreParams,
    ) -> Result<http::StoreRestoreBegunView, ClientError> {
        self.post("/v1/store/restore", params).await
    }

    /// Gives the restore that ended last.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn store_restores(&self) -> Result<http::StoreRestoresView, ClientError> {
        self.get("/v1/store/restore").await
    }

    /// Gives what takes how much room in the store.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn store_sizes(&self) -> Result<http::SizesView, ClientError> {
        self.get("/v1/store/sizes").await
    }
}
