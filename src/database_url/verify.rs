//! How a server's certificate is checked.
//!
//! rustls does the handshake and the cryptography. This module adds only what libpq does and rustls does not: a chain without a
//! name check, no check at all, and a certificate that is trusted because it is itself in the file, which is how a self-signed
//! server is usually trusted.

use std::fs;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate;

/// The value of `sslrootcert` that stands for the system's own store.
pub(super) const SYSTEM: &str = "system";
/// The variable that names another file for the system's store, as for most programs. If it is set, the usual files do not count.
const SYSTEM_VARIABLE: &str = "SSL_CERT_FILE";
/// Where systems keep their store: Debian and Alpine, Red Hat, SUSE, the BSDs and macOS.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a server's certificate must prove.
#[derive(Debug)]
pub(super) enum Check {
    /// Nothing: the connection is encrypted, but the server is not verified.
    Nothing,
    /// One of the roots vouches for it.
    Chain(Roots),
    /// One of the roots vouches for it, and it is for the host that was asked for.
    ChainAndName(Roots),
}

/// The certificates that `sslrootcert` names.
#[derive(Debug)]
pub(super) struct Roots {
    authorities: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

/// Applies a [`Check`] to the certificate a server shows.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(check: Check, provider: &CryptoProvider) -> Verifier {
        Verifier { check, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _revocation: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (roots, name) = match &self.check {
            Check::Nothing => return Ok(ServerCertVerified::assertion()),
            Check::Chain(roots) => (roots, None),
            Check::ChainAndName(roots) => (roots, Some(name)),
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        if !roots.certificates.contains(certificate) {
            // Nobody else vouches for a self-signed certificate, and the chain's own error about it would be unclear.
            if certificate::fields(certificate).is_some_and(|fields| fields.names_itself) {
                return Err(CertificateError::UnknownIssuer.into());
            }
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots.authorities, intermediates, now, algorithms)?;
        }
        if let Some(name) = name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    // In every mode the server must prove that it holds the certificate's key, because channel binding depends on it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !matches!(self.check, Check::Nothing) {
            return verify_tls13_signature(message, certificate, signature, &self.algorithms);
        }
        // If nothing else is checked, the key alone is enough: certificates without extensions, which the verification above
        // cannot read, are still made for home servers.
        let key = certificate::fields(certificate).ok_or(CertificateError::BadEncoding)?.public_key;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key), signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Roots {
    /// Reads a PEM file of one or more certificates, or the system's store for [`SYSTEM`].
    pub(super) fn read(file: &str) -> Result<Roots, String> {
        if file == SYSTEM {
            return Roots::of_the_system();
        }
        let certificates = certificates(file).map_err(|reason| format!("`sslrootcert`: {file}: {reason}"))?;
        let mut authorities = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let added = authorities.add(certificate.clone());
            added.map_err(|_| format!("`sslrootcert`: {file}: certificate {} is damaged", index + 1))?;
        }
        Ok(Roots { authorities, certificates })
    }

    fn of_the_system() -> Result<Roots, String> {
        let found = match std::env::var(SYSTEM_VARIABLE) {
            Ok(file) => certificates(&file).map_err(|reason| format!("`sslrootcert`: system: {file}: {reason}"))?,
            Err(_) => SYSTEM_FILES.into_iter().find_map(|file| certificates(file).ok()).ok_or_else(|| {
                format!("`sslrootcert`: no system store in {}; name its file", SYSTEM_FILES.join(", "))
            })?,
        };
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(found);
        // The store holds authorities only, so none of them is a server's own certificate.
        Ok(Roots { authorities, certificates: Vec::new() })
    }
}

/// The certificates of a PEM file, at least one.
fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("holds no PEM certificate".to_owned()) } else { Ok(certificates) }
}
