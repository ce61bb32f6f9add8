//! The signed handshake with a miner.

use btlightning::types::{read_frame, write_frame_and_finish};
use btlightning::{HandshakeRequest, HandshakeResponse, MessageType};
use quinn::Connection;
use rand::Rng as _;
use rustls::pki_types::CertificateDer;
use taonet_primitives::Hotkey;
use taonet_proof_core::handshake::{
    decode_signature, encode_signature, fingerprint, request_text, response_text,
};
use taonet_wallet::{Keypair, Signature, verify};

use super::unix_seconds;

/// Maximum size of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 4096;

/// Authenticates a connection to the miner with this hotkey.
///
/// # Errors
/// Why the miner is not authenticated.
pub(super) async fn authenticate(
    connection: &Connection,
    keypair: &Keypair,
    miner: &Hotkey,
) -> Result<(), &'static str> {
    let identity = connection.peer_identity().ok_or("no certificate")?;
    let certificates =
        identity.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| "no certificate")?;
    let fingerprint = fingerprint(certificates.first().ok_or("no certificate")?);
    let (validator_hotkey, timestamp) = (keypair.hotkey().to_string(), unix_seconds());
    let nonce = format!("{:032x}", rand::rng().random::<u128>());
    let text = request_text(&validator_hotkey, timestamp, &nonce, &fingerprint);
    let signature = encode_signature(keypair.sign(text.as_bytes()).as_bytes());
    let request = HandshakeRequest { validator_hotkey, timestamp, nonce, signature };
    let message = rmp_serde::to_vec(&request).map_err(|_| "cannot encode the handshake")?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(|_| "connection lost")?;
    write_frame_and_finish(&mut send, MessageType::HandshakeRequest, &message)
        .await
        .map_err(|_| "connection lost")?;
    let (kind, response) =
        read_frame(&mut recv, MAX_RESPONSE_BYTES).await.map_err(|_| "no response")?;
    if kind != MessageType::HandshakeResponse {
        return Err("the response is not a handshake");
    }
    let response: HandshakeResponse =
        rmp_serde::from_slice(&response).map_err(|_| "malformed response")?;
    if !response.accepted {
        return Err("rejected by the miner");
    }
    if response.miner_hotkey.parse() != Ok(*miner) {
        return Err("the response names another hotkey");
    }
    if response.cert_fingerprint.as_ref() != Some(&fingerprint) {
        return Err("the response is for another certificate");
    }
    let text = response_text(
        &request.validator_hotkey,
        &response.miner_hotkey,
        response.timestamp,
        &request.nonce,
        &fingerprint,
    );
    let signature = decode_signature(&response.signature).ok_or("malformed signature")?;
    let is_valid = verify(miner, text.as_bytes(), &Signature::from_bytes(signature));
    if is_valid { Ok(()) } else { Err("invalid signature") }
}
