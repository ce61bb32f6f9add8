use taonet_primitives::{Alpha, BlockHash, BlockNumber, MechId, NetUid, Rao};

use super::*;

fn neuron(uid: u16) -> Neuron {
    Neuron {
        uid: Uid(uid),
        hotkey: Hotkey::from_bytes([uid as u8 + 1; 32]),
        coldkey: Coldkey::from_bytes([9; 32]),
        active: true,
        validator_permit: uid == 0,
        axon: (uid == 1).then(|| Axon {
            address: "[2001:db8::1]:8091".parse().unwrap(),
            protocol: 4,
            version: 7,
            block: BlockNumber::new(3),
        }),
        total_stake: Rao::new(1_500_000_000),
        alpha_stake: Alpha::new(1),
        tao_stake: Rao::new(2),
        rank: 0,
        trust: 0,
        consensus: 13107,
        incentive: 65535,
        dividends: 0,
        validator_trust: 65535,
        emission: Alpha::new(2_000_000_000),
        pruning_score: 0,
        last_update: BlockNumber::new(4),
        registered_at: BlockNumber::new(1),
    }
}

fn metagraph() -> Metagraph {
    Metagraph {
        netuid: NetUid(59),
        mech: MechId(0),
        block: Block { number: BlockNumber::new(7), hash: BlockHash::from_bytes([1; 32]) },
        name: "babelbit".into(),
        symbol: "β".into(),
        tempo: 10,
        max_uids: 256,
        owner_hotkey: Hotkey::from_bytes([3; 32]),
        owner_coldkey: Coldkey::from_bytes([4; 32]),
        tao_in: Rao::new(1),
        alpha_in: Alpha::new(2),
        alpha_out: Alpha::new(3),
        burn: Rao::new(4),
        neurons: (0..3).map(neuron).collect(),
        weights: Some(vec![vec![(Uid(1), 65535), (Uid(2), 65535)], vec![], vec![]]),
        bonds: Some(vec![vec![(Uid(1), 65535), (Uid(7), 1)], vec![], vec![]]),
    }
}

#[test]
fn metagraph_columns_have_sdk_names() {
    let metagraph = metagraph();
    assert_eq!(metagraph.S(), [1.5; 3]);
    assert_eq!(metagraph.I(), [1.0; 3]);
    assert_eq!(metagraph.C(), [0.2; 3]);
    assert_eq!(metagraph.E(), [2.0; 3]);
    assert_eq!(
        (metagraph.R(), metagraph.T(), metagraph.D()),
        (vec![0.0; 3], vec![0.0; 3], vec![0.0; 3])
    );
    assert_eq!(metagraph.Tv(), [1.0; 3]);
    assert_eq!(metagraph.W().unwrap()[0], [0.0, 0.5, 0.5]);
    assert_eq!(metagraph.B().unwrap()[0], [0.0, 1.0, 0.0]);
    assert_eq!(metagraph.neuron(&Hotkey::from_bytes([2; 32])).unwrap().uid, Uid(1));
}

#[test]
fn saved_metagraph_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metagraph.json");
    let metagraph = metagraph();
    metagraph.save(&path).unwrap();
    assert_eq!(Metagraph::load(&path).unwrap(), metagraph);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
    assert_eq!(Metagraph::load(&path).unwrap(), metagraph, "with a byte order mark");
    std::fs::write(&path, text.replacen("\"form\":1", "\"form\":2", 1)).unwrap();
    assert_eq!(Metagraph::load(&path).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(Metagraph::load(&path).is_err());
}

#[test]
fn csv_rows_have_as_many_fields_as_the_header() {
    let csv = metagraph().to_csv();
    let counts: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(counts, [18; 4]);
    assert!(csv.lines().nth(2).unwrap().contains("[2001:db8::1]:8091,1.5,0.000000001"), "{csv}");
}

#[test]
fn metagraph_diff_lists_changed_fields_and_replaced_neurons() {
    let before = metagraph();
    let mut after = before.clone();
    after.neurons[0].incentive = 7;
    after.neurons[2].hotkey = Hotkey::from_bytes([77; 32]);
    after.neurons.push(neuron(3));
    let difference = before.diff(&after);
    assert_eq!(difference.changed.len(), 1);
    assert_eq!(difference.changed[0].fields, [("incentive".to_owned(), 65535.into(), 7.into())]);
    let key = |byte| Some(Hotkey::from_bytes([byte; 32]));
    assert_eq!(difference.replaced, [(Uid(2), key(3), key(77)), (Uid(3), None, key(4))]);
}
