//! Files of circuits and bundles, as model owners, catalogues and users give them: none panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_proof_circuits::ModelBundle;
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::network::Network;
use taonet_proof_core::onnx;
use taonet_proof_core::slices::SlicedModel;

fuzz_target!(|file: &[u8]| {
    let _ = onnx::read(file);
    if let Ok(network) = Network::from_bytes(file) {
        let again = network.to_bytes().expect("a network that is read is written");
        assert_eq!(Network::from_bytes(&again), Ok(network));
    }
    let _ = CircuitMetadata::from_json(file);
    if let Ok(model) = SlicedModel::from_json(file) {
        assert!(!model.slices.is_empty());
    }
    if let Ok(bundle) = ModelBundle::from_json(file) {
        let _ = bundle.verify();
    }
});
