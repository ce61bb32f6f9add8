use super::*;
use crate::testing;

/// Returns the network with an occurrence of a text replaced by another text of the same length.
fn network_with(from: &str, occurrence: usize, to: &str) -> Vec<u8> {
    let mut network = testing::decoder_network();
    let mut positions = (0..network.len()).filter(|at| network[*at..].starts_with(from.as_bytes()));
    let at = positions.nth(occurrence).unwrap_or_else(|| panic!("no {from}"));
    network[at..at + from.len()].copy_from_slice(to.as_bytes());
    network
}

#[test]
fn decoder_stages_are_detected() {
    let decoder = Decoder::find(&testing::decoder_network()).unwrap();
    assert_eq!((&*decoder.input, &*decoder.output, decoder.channels), ("pre.active", "output", 6));
    assert_eq!(decoder.stages.len(), 2);
}

#[test]
fn no_decoder_is_detected_in_other_networks() {
    assert!(Decoder::find(&testing::network(&testing::INPUTS)).is_none());
    assert!(Decoder::find(&[]).is_none());
}

/// Columns: text · its occurrence · text in its place
#[test]
fn decoder_with_changed_operators_is_not_detected() {
    for (from, occurrence, to) in [
        ("Tanh", 0, "Relu"),
        ("Div", 0, "Sub"),
        ("Add", 0, "Mul"),
        // The addition of `t.sum` has the only step that computes `c.sum`, and a second node reads
        // `c.sum`.
        ("t.sum", 1, "c.sum"),
        // A factor that is not a constant.
        ("scale", 0, "b.sum"),
        // A constant is missing.
        ("b.weight", 0, "d.weight"),
        // Weights of 6 inputs for 5 channels.
        ("up2.weight", 0, "pre.weight"),
    ] {
        assert!(Decoder::find(&network_with(from, occurrence, to)).is_none(), "{from}: {to}");
    }
}

/// A multiplication by 1 gives a signal a second name, and the builder counts the readers of one
/// name only.
#[test]
fn decoder_with_scale_of_one_is_not_detected() {
    let mut network = testing::decoder_network();
    let tensor = b"scale\x4a\x04";
    let at =
        network.windows(tensor.len()).position(|bytes| bytes == tensor).unwrap() + tensor.len();
    network[at..at + 4].copy_from_slice(&2_f32.to_le_bytes());
    assert!(Decoder::find(&network).is_some());
    network[at..at + 4].copy_from_slice(&1_f32.to_le_bytes());
    assert!(Decoder::find(&network).is_none());
}

#[test]
fn signal_of_other_channels_is_refused() {
    let decoder = Decoder::find(&testing::decoder_network()).unwrap();
    let run = |channels: usize| {
        decoder.run(Signal { values: vec![0.1; channels * 9], width: 9, start: 0 })
    };
    assert_eq!(run(6).map(|samples| samples.len()), Some(9 * testing::UPSAMPLED));
    assert_eq!(run(5), None);
    assert_eq!(decoder.run(Signal { values: Vec::new(), width: 0, start: 0 }), None);
}

proptest::proptest! {
    #[test]
    fn damaged_network_never_panics(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0_u8..), 1..5),
    ) {
        let mut network = testing::decoder_network();
        for (position, byte) in changes {
            let position = position.index(network.len());
            network[position] = byte;
        }
        if let Some(decoder) = Decoder::find(&network) {
            let _ = decoder.run(Signal { values: vec![0.1; decoder.channels * 9], width: 9, start: 0 });
        }
    }
}
