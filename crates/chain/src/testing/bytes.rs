use taonet_primitives::BlockHash;

use crate::client::Header;
use crate::runtime::Runtime;

/// Decodes bytes with this metadata through every decoder that the client applies to data from a
/// node, for fuzzing. Returns whether the metadata is valid.
pub fn decode_node_data(metadata: &[u8], bytes: &[u8]) -> bool {
    if let Ok(header) = serde_json::from_slice::<Header>(bytes) {
        let _ = header.block();
    }
    let Ok(runtime) = Runtime::new(metadata, BlockHash::from_bytes([0; 32]), 1, 1) else {
        return false;
    };
    let _ = runtime.decode_events(bytes);
    for pallet in runtime.metadata().pallets() {
        if let Some(storage) = pallet.storage() {
            for entry in storage.entries() {
                let _ = runtime.storage_value_json(pallet.name(), entry.name(), Some(bytes));
                let _ = runtime.storage_value::<Vec<u64>>(pallet.name(), entry.name(), Some(bytes));
                if let Ok(mut key) = runtime.storage_key(pallet.name(), entry.name(), &[]) {
                    key.extend_from_slice(bytes);
                    let _ = runtime.storage_keys::<Vec<serde_json::Value>>(
                        pallet.name(),
                        entry.name(),
                        &key,
                    );
                }
            }
        }
        for constant in pallet.constants() {
            let _ = runtime.constant_json(pallet.name(), constant.name());
        }
    }
    for api in runtime.metadata().runtime_api_traits() {
        for method in api.methods() {
            let _ = runtime.api_result_json(api.name(), method.name(), bytes);
        }
    }
    true
}
