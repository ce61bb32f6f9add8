//! Directives of a development node to the runtime: calls without the caller's key, and values of
//! storage items.
//!
//! A directive is an item in the digest of a block's header. Only the block author writes digests,
//! so no extrinsic can contain a directive, and re-executing a stored block gives the same result.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::traits::PreInherents;
use scale_info::{Type, TypeInfo};
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::generic::{Era, SignedPayload};
use sp_runtime::traits::{Lazy, Verify};
use sp_runtime::transaction_validity::TransactionValidityError;
use sp_runtime::{
    ConsensusEngineId, Digest, DigestItem, MultiAddress, MultiSignature, MultiSigner,
};

use crate::extensions::{
    ChargeFee, CheckNonce, CheckShieldedTxValidity, DrandPriority, SubtensorTransactionExtension,
    SudoTransactionExtension,
};
use crate::runtime::{
    AccountId, Header, Runtime, RuntimeCall, System, TxExtension, UncheckedExtrinsic,
};
use crate::verified;

/// Engine ID of the digest items.
const ENGINE: ConsensusEngineId = *b"tdev";

/// A storage key with its new value; `None` removes the item.
pub type StorageEntry = (Vec<u8>, Option<Vec<u8>>);

/// A directive to the runtime, for one block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Directive {
    /// The extrinsic with this permission needs no signature; [`impersonate`] returns both.
    Impersonate(H256),
    /// Before the block's extrinsics, these storage keys are set, or removed if they have no value.
    SetStorage(Vec<StorageEntry>),
}

impl Directive {
    /// Returns the item for the header's digest.
    pub fn digest(&self) -> DigestItem {
        DigestItem::PreRuntime(ENGINE, self.encode())
    }

    /// Returns the directives of the current block.
    fn current() -> Vec<Self> {
        let digest = System::digest();
        let directives = digest.logs().iter().filter_map(|item| match item {
            DigestItem::PreRuntime(ENGINE, bytes) => Self::decode(&mut bytes.as_slice()).ok(),
            _ => None,
        });
        directives.collect()
    }
}

/// A signature of any supported scheme, or a placeholder in an extrinsic that needs none.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking)]
pub struct Signature(MultiSignature);

impl Signature {
    /// The placeholder. It is not a signature of any message, because sr25519 sets a bit in the
    /// last byte.
    fn placeholder() -> Self {
        Self(MultiSignature::Sr25519(sp_core::sr25519::Signature::from_raw([0; 64])))
    }
}

impl From<MultiSignature> for Signature {
    fn from(signature: MultiSignature) -> Self {
        Self(signature)
    }
}

// Clients see the type of FRAME.
impl TypeInfo for Signature {
    type Identity = <MultiSignature as TypeInfo>::Identity;

    fn type_info() -> Type {
        MultiSignature::type_info()
    }
}

impl Verify for Signature {
    type Signer = MultiSigner;

    fn verify<L: Lazy<[u8]>>(&self, mut message: L, signer: &AccountId) -> bool {
        if *self == Self::placeholder() {
            return Directive::current()
                .contains(&Directive::Impersonate(permission_hash(signer, message.get())));
        }
        verified::is_valid(&self.0, message.get(), signer)
    }
}

/// Returns the permission for `signer` to submit an extrinsic with this payload.
fn permission_hash(signer: &AccountId, payload: &[u8]) -> H256 {
    H256(blake2_256(&(signer, payload).encode()))
}

/// Builds an extrinsic of `account` without its key, for the block after `parent`, and the
/// directive that admits it. Begins that block, so call it on a copy of the parent's state.
///
/// # Errors
/// [`TransactionValidityError`] if an extension lacks its data.
pub fn impersonate(
    parent: &Header,
    account: AccountId,
    call: RuntimeCall,
) -> Result<(UncheckedExtrinsic, Directive), TransactionValidityError> {
    // A state contains the hash of a block, also of the genesis block, only from the next block on.
    System::initialize(&parent.number.saturating_add(1), &parent.hash(), &Digest::default());
    let extension: TxExtension = (
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        CheckNonce(System::account_nonce(&account)),
        frame_system::CheckWeight::new(),
        ChargeFee::with_tip(0),
        (
            SudoTransactionExtension,
            CheckShieldedTxValidity,
            SubtensorTransactionExtension,
            DrandPriority,
            frame_metadata_hash_extension::CheckMetadataHash::<Runtime>::new(false),
        ),
    );
    let payload = SignedPayload::<RuntimeCall, TxExtension>::new(call, extension)?;
    let permission = payload.using_encoded(|bytes| permission_hash(&account, bytes));
    let (call, extension, _) = payload.deconstruct();
    let address = MultiAddress::Id(account);
    let extrinsic =
        UncheckedExtrinsic::new_signed(call, address, Signature::placeholder(), extension);
    Ok((extrinsic, Directive::Impersonate(permission)))
}

/// Applies the [`Directive::SetStorage`] directives of the block before its inherents.
#[derive(Debug)]
pub struct SetStorage;

impl PreInherents for SetStorage {
    fn pre_inherents() {
        for directive in Directive::current() {
            let Directive::SetStorage(entries) = directive else { continue };
            for (key, value) in entries {
                match value {
                    Some(value) => sp_io::storage::set(&key, &value),
                    None => sp_io::storage::clear(&key),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sp_core::Pair;
    use sp_runtime::traits::{Checkable, Header as _};
    use sp_runtime::transaction_validity::InvalidTransaction;

    use super::*;
    use crate::runtime::Executive;
    use crate::testing::key;

    fn header(number: u32, parent: H256, digest: Digest) -> Header {
        Header::new(number, H256::zero(), H256::zero(), parent, digest)
    }

    fn parent() -> Header {
        header(0, H256::zero(), Digest::default())
    }

    /// Runs code in block 1, whose digest has these directives.
    fn block<T>(directives: &[Directive], code: impl FnOnce() -> T) -> T {
        let mut chain = sp_io::TestExternalities::new(crate::genesis::genesis(&[]).unwrap());
        chain.execute_with(|| {
            let logs = directives.iter().map(Directive::digest).collect();
            Executive::initialize_block(&header(1, parent().hash(), Digest { logs }));
            code()
        })
    }

    fn impersonated_extrinsic(who: u32, text: &str) -> (UncheckedExtrinsic, Directive) {
        let call = frame_system::Call::remark { remark: text.as_bytes().to_vec() };
        let mut chain = sp_io::TestExternalities::new(crate::genesis::genesis(&[]).unwrap());
        chain.execute_with(|| impersonate(&parent(), key(who), call.into()).unwrap())
    }

    #[test]
    fn impersonation_permits_one_account_and_one_call() {
        let check = |directives: &[&Directive], extrinsic: &UncheckedExtrinsic| {
            let directives: Vec<_> =
                directives.iter().map(|directive| (*directive).clone()).collect();
            let context = frame_system::ChainContext::<Runtime>::default();
            block(&directives, || extrinsic.clone().check(&context).map(drop))
        };
        let refused = Err(InvalidTransaction::BadProof.into());
        let (extrinsic, directive) = impersonated_extrinsic(1, "one");
        assert_eq!(check(&[&directive], &extrinsic), Ok(()));
        assert_eq!(check(&[], &extrinsic), refused);
        // A payload of more than 256 bytes is hashed.
        for (other, other_directive) in [
            impersonated_extrinsic(1, "two"),
            impersonated_extrinsic(2, "one"),
            impersonated_extrinsic(1, &"long".repeat(100)),
        ] {
            assert_eq!(check(&[&directive], &other), refused);
            assert_eq!(check(&[&directive, &other_directive], &other), Ok(()));
        }
    }

    #[test]
    fn real_signatures_are_still_verified() {
        let pair = sp_core::sr25519::Pair::from_seed(&[7; 32]);
        let signer = AccountId::new(pair.public().0);
        let real = MultiSignature::Sr25519(pair.sign(b"message"));
        let signature = Signature::from(real.clone());
        assert!(signature.verify(&b"message"[..], &signer));
        assert!(!signature.verify(&b"another"[..], &signer));
        assert_eq!(signature.encode(), real.encode());
        assert_eq!(scale_info::meta_type::<Signature>(), scale_info::meta_type::<MultiSignature>());
    }

    #[test]
    fn storage_is_set_and_removed() {
        let read = || (sp_io::storage::get(b"new"), System::block_hash(0));
        let removed = frame_system::BlockHash::<Runtime>::hashed_key_for(0);
        let set = Directive::SetStorage(vec![(b"new".to_vec(), Some(vec![7])), (removed, None)]);
        let (new, hash) = block(&[set], read);
        assert_eq!((new.as_deref(), hash), (Some(&[7][..]), H256::zero()));
        let (new, hash) = block(&[], read);
        assert_eq!((new, hash), (None, parent().hash()));
    }
}
