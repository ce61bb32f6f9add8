//! Files of model owners, circuit catalogues and users (ONNX models, networks, metadata, bundles): reading a file and
//! verifying a bundle never panic.

use taonet_proof_circuits::ModelBundle;
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::network::Network;
use taonet_proof_core::onnx;
use taonet_proof_core::slices::SlicedModel;

/// Checks one input.
pub fn check(file: &[u8]) {
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
}
