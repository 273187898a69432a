//! The process's DTLS certificate.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use dimpl::DtlsCertificate;

use super::dtls;
use crate::sdp::Fingerprint;

/// A self-signed ECDSA P-256 certificate with its key. Cloning is cheap; `Debug` shows no key.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    dtls: DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<dimpl::Config>,
}

/// No certificate could be made: the platform's RNG or clock failed.
#[derive(Debug, thiserror::Error)]
#[error("no DTLS certificate could be generated: {0}")]
pub struct CertificateError(#[from] dimpl::certificate::CertificateError);

impl Certificate {
    /// Makes a new one. The only place of the transport that draws randomness and reads the clock by itself: call it
    /// once per process, outside the core.
    pub fn generate() -> Result<Self, CertificateError> {
        let dtls = dimpl::certificate::generate_self_signed_certificate()?;
        let fingerprint = fingerprint(&dtls.certificate);
        Ok(Self(Arc::new(Inner { dtls, fingerprint, config: dtls::config() })))
    }

    /// What our answers say in `a=fingerprint`.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    pub(super) fn config(&self) -> Arc<dimpl::Config> {
        Arc::clone(&self.0.config)
    }

    pub(super) fn dtls(&self) -> DtlsCertificate {
        self.0.dtls.clone()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.0.fingerprint).finish()
    }
}

/// The SHA-256 fingerprint of a certificate in DER (RFC 8122 section 5).
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    let hash = digest::digest(&digest::SHA256, der);
    Fingerprint(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
