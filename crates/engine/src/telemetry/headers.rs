//! The headers that go with the traces, such as a receiver's key. Their values are secrets: no error has one.

use crate::reports::private_file;
use crate::settings::TelemetrySettings;
use std::collections::HashMap;
use std::path::Path;

/// Gives all headers by their names; those of the file go before those of the settings.
///
/// # Errors
/// What is wrong with the file, without any of its values.
pub(super) fn all(settings: &TelemetrySettings) -> Result<HashMap<String, String>, String> {
    let of_settings = settings.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut headers: HashMap<String, String> = of_settings.collect();
    if let Some(file) = &settings.headers_file {
        headers.extend(of_file(file)?);
    }
    Ok(headers)
}

/// Reads the headers of a file that only its owner may read: `name: value` in each line, and lines of `#` besides.
///
/// # Errors
/// As [`all`].
pub(super) fn of_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let bytes = private_file(path).map_err(|error| wrong(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is no text"))?;
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let header = |(place, line): (usize, &str)| {
        let parts = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let (name, value) = parts
            .filter(|(name, value)| is_name(name) && is_value(value))
            .ok_or_else(|| wrong(&format!("line {place} is no `name: value` of printable ASCII")))?;
        Ok((name.to_ascii_lowercase(), value.to_owned()))
    };
    let headers: Vec<_> = said.map(header).collect::<Result<_, String>>()?;
    if headers.is_empty() { Err(wrong("it holds no header")) } else { Ok(headers) }
}

/// Tells whether a text is the name of a header, by RFC 9110.
pub(crate) fn is_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(is_token)
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii() && !c.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    fn file(folder: &Path, text: &str, mode: u32) -> std::path::PathBuf {
        let path = folder.join("headers");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_goes_before_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# mine\nAuthorization: Bearer a:b==\n\n x-both :  of the file \n";
        let settings = TelemetrySettings {
            headers: BTreeMap::from([("X-Both", "no"), ("x-own", "yes")].map(|(k, v)| (k.into(), v.into()))),
            headers_file: Some(file(folder.path(), text, 0o600)),
            ..TelemetrySettings::default()
        };
        let expected = [("authorization", "Bearer a:b=="), ("x-both", "of the file"), ("x-own", "yes")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(all(&settings).unwrap(), HashMap::from(expected));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        for (text, mode, told) in [
            ("x-key: open sesame", 0o640, "`chmod 600` mends that"),
            ("# none\n", 0o600, "it holds no header"),
            ("a: b\nopen sesame\n", 0o600, "line 2 is no `name: value`"),
            ("open sesame: x\n", 0o600, "line 1 is no `name: value`"),
            ("x-key: öpen sesame\n", 0o600, "line 1 is no `name: value`"),
            ("x-key:\n", 0o600, "line 1 is no `name: value`"),
        ] {
            let path = file(folder.path(), text, mode);
            let error = of_file(&path).unwrap_err();
            assert!(error.starts_with(&*path.to_string_lossy()) && error.contains(told), "{text}: {error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
