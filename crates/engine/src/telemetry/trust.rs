//! The certificates of further authorities, by which a receiver may be known besides the system's.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The certificates of all authorities of a system are a tenth of that, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads the certificates of a file in PEM.
///
/// # Errors
/// What is wrong with the file, with its path.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let pem = read(path).map_err(|error| wrong(&error.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = read.map_err(|error| wrong(&format!("it is no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate in PEM"));
    }
    let mut store = RootCertStore::empty();
    for (place, certificate) in certificates.iter().enumerate() {
        let what = |error| wrong(&format!("its certificate {} cannot be used: {error}", place + 1));
        store.add(certificate.clone()).map_err(what)?;
    }
    Ok(certificates)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    // Whoever opened a pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_use_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let block = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        for (text, told) in [
            (String::new(), "it holds no certificate in PEM"),
            ("what is this\n".to_owned(), "it holds no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), "it is no PEM: "),
            (block("?"), "it is no PEM: "),
            (block("AAAA"), "its certificate 1 cannot be used: "),
        ] {
            let path = folder.path().join("ca.pem");
            std::fs::write(&path, &text).unwrap();
            let error = certificates(&path).unwrap_err();
            assert!(error.starts_with(&format!("{}: {told}", path.display())), "{text}: {error}");
        }
        let missing = certificates(&folder.path().join("none.pem")).unwrap_err();
        assert!(missing.contains("none.pem: No such file"), "{missing}");
        assert!(certificates(folder.path()).unwrap_err().ends_with("it is no file"));
    }
}
