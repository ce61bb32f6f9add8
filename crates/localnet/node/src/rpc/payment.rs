//! `payment_` methods: fee estimates.

use codec::{Decode, Encode};
use pallet_transaction_payment::{FeeDetails, RuntimeDispatchInfo};
use serde_json::{Value, json};
use sp_core::U256;
use taonet_localnet_runtime::Balance;

use super::error::{internal, payment_error};
use super::params::{Args, ParamNames};
use super::{Context, Methods};

/// Names of the parameters of both methods.
const PARAMETERS: ParamNames = &["encoded_xt", "at"];

pub(super) fn register(methods: &mut Methods) {
    methods.register_on_worker(&["payment_queryInfo"], PARAMETERS, |context, args| {
        let info: RuntimeDispatchInfo<Balance> =
            query_runtime(context, args, "TransactionPaymentApi_query_info")?;
        Ok(json!(info))
    });
    methods.register_on_worker(&["payment_queryFeeDetails"], PARAMETERS, |context, args| {
        let details: FeeDetails<Balance> =
            query_runtime(context, args, "TransactionPaymentApi_query_fee_details")?;
        let inclusion = details.inclusion_fee.map_or(Value::Null, |fee| {
            json!({
                "baseFee": fee_to_json(fee.base_fee),
                "lenFee": fee_to_json(fee.len_fee),
                "adjustedWeightFee": fee_to_json(fee.adjusted_weight_fee),
            })
        });
        Ok(json!({"inclusionFee": inclusion}))
    });
}

fn fee_to_json(fee: Balance) -> Value {
    json!(U256::from(fee))
}

fn query_runtime<T: Decode>(
    context: &Context,
    args: &Args,
    method: &str,
) -> Result<T, jsonrpsee::types::ErrorObjectOwned> {
    let mut data = args.bytes(0, "an extrinsic")?;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    length.encode_to(&mut data);
    let encoded = context
        .chain
        .call(args.hash(1)?, method, &data)
        .map_err(|failure| payment_error(&failure))?;
    T::decode(&mut encoded.as_slice()).map_err(|failure| internal(failure.to_string()))
}
