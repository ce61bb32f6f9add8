//! Files of model owners, circuit catalogues and users (ONNX models, networks, metadata, bundles):
//! reading a file and verifying a bundle never panic.

use taonet_proof_circuits::ModelBundle;
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::network::Network;
use taonet_proof_core::slices::SlicedModel;
use taonet_proof_onnx as onnx;

/// Maximum number of values of a tensor in a model that is run.
const MAX_RUN_VALUES: usize = 1 << 12;

/// Checks one input.
pub fn check(file: &[u8]) {
    if let Ok(model) = onnx::Model::decode(file)
        && let Ok(network) = model.network()
        && network.input.elements() <= MAX_RUN_VALUES
        && network.nodes.iter().all(|node| node.shape.elements() <= MAX_RUN_VALUES)
    {
        let input = vec![0.5; network.input.elements()];
        let outputs = network
            .run(&input)
            .expect("the input has the network's length")
            .pop()
            .unwrap_or_default();
        match model.evaluate(&input) {
            Ok(evaluation) => {
                assert_eq!(
                    evaluation.outputs.len(),
                    outputs.len(),
                    "the network has other outputs than its file"
                );
            }
            // A conversion gives a value fewer bits than it needs.
            Err(error) => {
                assert!(
                    error.to_string().contains("a value exceeds"),
                    "a model that is read is evaluated: {error}"
                );
            }
        }
    }
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
