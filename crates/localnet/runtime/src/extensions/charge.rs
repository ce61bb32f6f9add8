//! Fees, which an account may pay for the calls of its delegates.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use frame_support::weights::Weight;
use pallet_transaction_payment::ChargeTransactionPayment;
use scale_info::TypeInfo;
use sp_runtime::DispatchResult;
use sp_runtime::traits::{
    AsSystemOriginSigner, Implication, PostDispatchInfoOf, TransactionExtension,
    TransactionExtensionMetadata,
};
use sp_runtime::transaction_validity::{TransactionValidityError, ValidTransaction};

use crate::proxy::fee_payer;
use crate::runtime::{Runtime, RuntimeCall, RuntimeOrigin};

type Inner = ChargeTransactionPayment<Runtime>;

/// Extension that charges the fee, from the sender or from the account for which the sender makes
/// the call.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct ChargeFee(Inner);

impl ChargeFee {
    /// Creates the extension with a tip, in rao.
    pub fn with_tip(tip: u64) -> Self {
        Self(Inner::from(tip))
    }
}

impl TransactionExtension<RuntimeCall> for ChargeFee {
    const IDENTIFIER: &'static str = Inner::IDENTIFIER;
    type Implicit = ();
    type Val = <Inner as TransactionExtension<RuntimeCall>>::Val;
    type Pre = <Inner as TransactionExtension<RuntimeCall>>::Pre;

    // Clients see the extension of FRAME.
    fn metadata() -> Vec<TransactionExtensionMetadata> {
        Inner::metadata()
    }

    fn weight(&self, call: &RuntimeCall) -> Weight {
        self.0.weight(call)
    }

    fn validate(
        &self,
        origin: RuntimeOrigin,
        call: &RuntimeCall,
        info: &DispatchInfo,
        len: usize,
        (): (),
        implication: &impl Implication,
        source: TransactionSource,
    ) -> Result<(ValidTransaction, Self::Val, RuntimeOrigin), TransactionValidityError> {
        let payer = origin.as_system_origin_signer().and_then(|sender| fee_payer(sender, call));
        let payer_origin = payer.map_or_else(|| origin.clone(), RuntimeOrigin::signed);
        let (validity, val, _) =
            self.0.validate(payer_origin, call, info, len, (), implication, source)?;
        Ok((validity, val, origin))
    }

    fn prepare(
        self,
        val: Self::Val,
        origin: &RuntimeOrigin,
        call: &RuntimeCall,
        info: &DispatchInfo,
        len: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        self.0.prepare(val, origin, call, info, len)
    }

    fn post_dispatch_details(
        pre: Self::Pre,
        info: &DispatchInfo,
        post_info: &PostDispatchInfoOf<RuntimeCall>,
        len: usize,
        result: &DispatchResult,
    ) -> Result<Weight, TransactionValidityError> {
        Inner::post_dispatch_details(pre, info, post_info, len, result)
    }
}
