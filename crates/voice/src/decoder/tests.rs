use super::*;
use crate::testing;

/// Returns the network with each of some texts replaced by another one of the same length.
fn replaced(from: &str, to: &str) -> Vec<u8> {
    let mut network = testing::decoder_network();
    assert_eq!(from.len(), to.len());
    let mut count = 0;
    for at in 0..network.len() - from.len() {
        if network[at..].starts_with(from.as_bytes()) {
            network[at..at + to.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "{from}");
    network
}

#[test]
fn decoder_is_found_in_stages() {
    let decoder = Decoder::find(&testing::decoder_network()).unwrap();
    assert_eq!((&*decoder.input, &*decoder.output, decoder.channels), ("pre.active", "output", 6));
    assert_eq!(decoder.stages.len(), 2);
}

#[test]
fn network_without_decoder_has_none() {
    assert!(Decoder::find(&testing::network(&testing::INPUTS)).is_none());
    assert!(Decoder::find(&[]).is_none());
}

/// Columns: text · text in its place
#[test]
fn unsupported_decoder_is_none() {
    for (from, to) in [
        ("Tanh", "Relu"),
        ("Div", "Sub"),
        ("Add", "Sub"),
        // Numbers of channels that do not match.
        ("b.weight", "1.weight"),
        // No constant.
        ("scale", "input"),
        ("post.weight", "pads.weight"),
    ] {
        assert!(Decoder::find(&replaced(from, to)).is_none(), "{from}: {to}");
    }
}

#[test]
fn signal_of_other_channels_is_refused() {
    let decoder = Decoder::find(&testing::decoder_network()).unwrap();
    let run = |channels: usize| decoder.run(Signal { values: vec![0.1; channels * 9], width: 9, start: 0 });
    assert_eq!(run(6).map(|samples| samples.len()), Some(9 * testing::UPSAMPLED));
    assert_eq!(run(5), None);
    assert_eq!(decoder.run(Signal { values: Vec::new(), width: 0, start: 0 }), None);
}

proptest::proptest! {
    #[test]
    fn damaged_networks_have_a_decoder_or_none(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0_u8..), 1..5),
    ) {
        let mut network = testing::decoder_network();
        for (position, byte) in changes {
            let position = position.index(network.len());
            network[position] = byte;
        }
        let _ = Decoder::find(&network);
    }
}
