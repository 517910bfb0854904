//! By what right reports are filed: a token of the environment, then of a file, then of a GitHub App.
//!
//! Tokens are read when they are needed, and never shown: not in an error, not in a log.

use super::ReportSettings;
use crate::worker::Secret;
use adjutant_model::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The variable of the environment that holds a token.
pub(crate) const VARIABLE: &str = "ADJUTANT_REPORT_TOKEN";
/// The file in the data folder that holds a token, when the settings name no other.
const TOKEN_FILE: &str = "report-token";
/// A file with a token or a key is at most so large, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What a GitHub App says of itself is good for so long, in seconds; GitHub takes no more.
const JWT_SECS: i64 = 600;
/// It is dated back by so much, in seconds, because clocks differ.
const JWT_BACK_SECS: i64 = 60;

/// What is said of an App of which not all is known.
const HALF_AN_APP: &str =
    "`reports.app_id`, `reports.installation_id` and `reports.app_key_file` go together";

/// A GitHub App, in whose name reports are filed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppSettings {
    /// Its id.
    pub app_id: u64,
    /// Its installation at the repository.
    pub installation_id: u64,
    /// The file with its private key, in PEM.
    pub key_file: PathBuf,
}

/// Where the right to file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// A token is there.
    Token(Secret),
    /// One is got for the App.
    App(AppSettings),
}

/// Looks for a token, the environment first; nothing when there is none.
///
/// # Errors
/// What is wrong with the first that is there.
pub(super) fn source(
    settings: &ReportSettings,
    folder: &Path,
    env: &[(String, String)],
) -> Result<Option<TokenSource>, String> {
    let of_env = env.iter().find(|(name, value)| name == VARIABLE && !value.trim().is_empty());
    if let Some((_, value)) = of_env {
        return token(value, VARIABLE).map(Some);
    }
    let file = settings.token_file.clone();
    let is_named = file.is_some();
    let file = file.unwrap_or_else(|| folder.join(TOKEN_FILE));
    match private_file(&file) {
        Ok(bytes) => return token(&String::from_utf8_lossy(&bytes), &file.display().to_string()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {}
        Err(error) => return Err(format!("the token file {}: {error}", file.display())),
    }
    match &settings.app {
        Some(AppSettings { app_id: 0, .. } | AppSettings { installation_id: 0, .. }) => {
            Err(HALF_AN_APP.to_owned())
        }
        Some(app) if app.key_file.as_os_str().is_empty() => Err(HALF_AN_APP.to_owned()),
        app => Ok(app.clone().map(TokenSource::App)),
    }
}

fn token(text: &str, from: &str) -> Result<TokenSource, String> {
    let text = text.trim();
    let is_token = (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token {
        Ok(TokenSource::Token(Secret::new(text)))
    } else {
        Err(format!("what {from} holds is no token"))
    }
}

/// Reads a file that is for its owner alone.
///
/// # Errors
/// When it cannot be read, or others may read it.
pub(crate) fn private_file(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("others than its owner may read it; `chmod 600` mends that"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Signs what an App says of itself, with RS256.
///
/// # Errors
/// What is wrong with its key.
pub(super) fn app_jwt(app: &AppSettings, now: Timestamp) -> Result<Secret, String> {
    let wrong = |what: &str| format!("the key file {}: {what}", app.key_file.display());
    let pem = private_file(&app.key_file).map_err(|error| wrong(&error.to_string()))?;
    let key = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        Ok(_) | Err(_) => return Err(wrong("it is no private key in PEM")),
    };
    let key = key.map_err(|_| wrong("it is no RSA key"))?;
    let at = now.unix_ms() / 1000 - JWT_BACK_SECS;
    let header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
    let claims = serde_json::json!({"iat": at, "exp": at + JWT_SECS, "iss": app.app_id.to_string()});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| wrong("it does not sign"))?;
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
