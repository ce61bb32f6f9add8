use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::config::substrate::{AccountId32, H256, MultiSignature, SubstrateConfig};
use subxt::ext::scale_value::Composite;
use subxt::tx::Payload;
use taonet_primitives::{AccountId, BlockNumber, ExtrinsicHash};
use taonet_wallet::{CryptoType, Keypair};

use super::Runtime;
use crate::hash::blake2_256;
use crate::{Block, Call, ChainError, SignOptions, SignedExtrinsic};

impl Payload for Call {
    type CallData = Composite<()>;

    fn pallet_name(&self) -> &str {
        self.pallet()
    }

    fn call_name(&self) -> &str {
        self.name()
    }

    fn call_data(&self) -> &Composite<()> {
        &self.args
    }
}

impl Runtime {
    /// Encodes a call.
    #[cfg(test)]
    pub(crate) fn call_data(&self, call: &Call) -> Result<Vec<u8>, ChainError> {
        self.check_call(call)?;
        self.offline.tx().call_data(call).map_err(|error| ChainError::encode(what(call), error))
    }

    /// Signs a call in an era that begins at `birth`, with `head` as the newest block.
    pub(crate) fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
        birth: Block,
        head: BlockNumber,
    ) -> Result<SignedExtrinsic, ChainError> {
        let last_block = options.era.usable(birth.number, head)?;
        let account: AccountId = signer.public().coldkey().into();
        let (bytes, _) = self.signed(call, account, options, birth, |payload| {
            let signature = *signer.sign(payload).as_bytes();
            match signer.crypto_type() {
                CryptoType::Ed25519 => MultiSignature::Ed25519(signature),
                CryptoType::Sr25519 => MultiSignature::Sr25519(signature),
            }
        })?;
        let hash = ExtrinsicHash::from_bytes(blake2_256(&bytes));
        let spec_version = self.spec_version;
        Ok(SignedExtrinsic { bytes, hash, signer: account, nonce: options.nonce, birth, last_block, spec_version })
    }

    /// Assembles a signed extrinsic, and returns its bytes and the signed payload.
    pub(crate) fn signed(
        &self,
        call: &Call,
        account: AccountId,
        options: SignOptions,
        birth: Block,
        sign: impl FnOnce(&[u8]) -> MultiSignature,
    ) -> Result<(Vec<u8>, Vec<u8>), ChainError> {
        self.check_call(call)?;
        let unfit = |error| ChainError::encode(what(call), error);
        let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
            .nonce(options.nonce.into())
            .tip(options.tip.get().into());
        let params = match options.era.period(birth.number) {
            None => params.immortal(),
            Some(period) => {
                let hash = H256(*birth.hash.as_bytes());
                params.mortal_from_unchecked(period.into(), birth.number.get().into(), hash)
            }
        };
        let mut signable = self.offline.tx().create_signable_offline(call, params.build()).map_err(unfit)?;
        let payload = signable.signer_payload().map_err(unfit)?;
        let signature = sign(&payload);
        let account = AccountId32(*account.as_bytes());
        let extrinsic = signable.sign_with_account_and_signature(&account, &signature).map_err(unfit)?;
        Ok((extrinsic.into_encoded(), payload))
    }

    fn check_call(&self, call: &Call) -> Result<(), ChainError> {
        let pallet = self.metadata().pallet_by_name(call.pallet());
        match pallet.and_then(|pallet| pallet.call_variant_by_name(call.name())) {
            Some(_) => Ok(()),
            None => Err(self.missing(&what(call))),
        }
    }
}

fn what(call: &Call) -> String {
    format!("call {}.{}", call.pallet(), call.name())
}
