//! Tests of proofs that users request: a failed or overdue slice goes to another miner.

use taonet_primitives::Hotkey;
use taonet_proof_circuits::ModelBundle;
use taonet_proof_core::quantise::Sample;

use super::*;
use crate::DeliveryError;

#[tokio::test(flavor = "multi_thread")]
async fn overdue_slice_of_a_user_is_sent_to_another_miner() {
    let market = TestMarket::new(&["stark"]);
    let overdue_after = Duration::from_millis(300);
    let (examiner, score_store) = market
        .examiner_with(ExaminerSettings { overdue_after, ..ExaminerSettings::default() })
        .await;
    let slow = market.miner("//Bob", Behaviour::Slow(Duration::from_secs(10))).await.0;
    let (silent, fast) =
        (silent_miner(&market, "//Dave").await, market.miner("//Eve", Behaviour::Honest).await.0);
    examiner.follow_miners(&[slow.clone(), silent.clone(), fast.clone()]).await;
    let circuit = market.catalogue.circuits().next().unwrap().id();
    let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
    let (observed, report) = record_progress();
    let bundle = examiner.deliver(&circuit, &inputs, report).await.unwrap();
    assert_eq!(bundle.proofs()[0].miner, *fast.hotkey());
    let overdue: Vec<Hotkey> = observed
        .lock()
        .unwrap()
        .iter()
        .filter_map(
            |step| if let Progress::Overdue { miner, .. } = step { Some(*miner) } else { None },
        )
        .collect();
    // On a busy machine, the answer of the honest miner may be overdue, too.
    assert_eq!(overdue[..2], [*slow.hotkey(), *silent.hotkey()]);
    // The slow miner's proof arrives after the user's request has completed, and still counts.
    while score_store
        .read(|board| board.tallies().get(slow.hotkey()).is_none_or(|tally| tally.verified == 0))
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_only_circuit_is_not_benchmarked() {
    let market = TestMarket::new(&["stark", "groth16"]);
    let circuits: Vec<Digest> = market.catalogue.circuits().map(|circuit| circuit.id()).collect();
    let users_only = BTreeSet::from([circuits[0]]);
    let (examiner, _) =
        market.examiner_with(ExaminerSettings { users_only, ..ExaminerSettings::default() }).await;
    for _ in 0..20 {
        assert_eq!(examiner.choose_circuit(), Some(1));
    }
    examiner.follow_miners(&[market.miner("//Bob", Behaviour::Honest).await.0]).await;
    let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
    let (_, report) = record_progress();
    examiner.deliver(&circuits[0], &inputs, report).await.unwrap().verify().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slice_of_a_killed_miner_is_proven_by_another_miner() {
    let market = TestMarket::sliced();
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let (model, _) = market.catalogue.models().next().unwrap();
    let inputs = ShippedModel::DigitsLenet.sample().unwrap().inputs[0].clone();
    let mut miners = Vec::new();
    for uri in ["//Bob", "//Charlie", "//Dave"] {
        miners.push(market.miner(uri, Behaviour::Honest).await.0);
    }
    examiner.follow_miners(&miners).await;
    let (_, report) = record_progress();
    let bundle = examiner.deliver(model, &inputs, report).await.unwrap();
    bundle.verify().unwrap();
    let provers: std::collections::BTreeSet<Hotkey> =
        bundle.proofs().iter().map(|proof| proof.miner).collect();
    assert_eq!(provers.len(), 3);
    assert!(matches!(&bundle, ModelBundle::Sliced(sliced) if sliced.slices.len() == 3));

    // Eve receives a slice, and her miner is killed while it proves the slice.
    let kill_signal = Shutdown::new();
    let (eve, _) = market.miner_until("//Eve", Behaviour::Slow(LONG_TIMEOUT), &kill_signal).await;
    miners[2] = eve.clone();
    examiner.follow_miners(&miners).await;
    let (observed, report) = record_progress();
    let kill_eve_when_asked: crate::ProgressCallback = Arc::new(move |step| {
        report(step);
        if matches!(step, Progress::Asked { miner, .. } if miner == *eve.hotkey()) {
            let kill_signal = kill_signal.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                kill_signal.request();
            });
        }
    });
    let bundle = examiner.deliver(model, &inputs, kill_eve_when_asked).await.unwrap();
    bundle.verify().unwrap();
    let eve = *miners[2].hotkey();
    assert!(bundle.proofs().iter().all(|proof| proof.miner != eve));
    let failures: Vec<Progress> = observed
        .lock()
        .unwrap()
        .iter()
        .copied()
        .filter(|step| matches!(step, Progress::Failed { .. }))
        .collect();
    assert!(
        matches!(failures[..], [Progress::Failed { miner, fault: Fault::Unreachable, .. }] if miner == eve)
    );
    assert_eq!(score_store.read(|board| board.tallies()[&eve].faults[&Fault::Unreachable]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_slice_is_reassigned_until_no_miner_is_left() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, _) = market.examiner(LONG_TIMEOUT).await;
    let circuit = market.catalogue.circuits().next().unwrap().id();
    let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
    let (cheating_miner, _) = market.miner("//Bob", Behaviour::WrongOutput).await;
    let (honest, _) = market.miner("//Charlie", Behaviour::Honest).await;
    let deliver =
        async |inputs: &[i64]| examiner.deliver(&circuit, inputs, record_progress().1).await;
    assert!(matches!(deliver(&inputs).await, Err(DeliveryError::NoMiner { slice: 0 })));
    examiner.follow_miners(&[cheating_miner.clone(), honest.clone()]).await;
    for _ in 0..2 {
        let bundle = deliver(&inputs).await.unwrap();
        bundle.verify().unwrap();
        assert_eq!(bundle.proofs()[0].miner, *honest.hotkey());
    }
    assert!(matches!(deliver(&[1, 2]).await, Err(DeliveryError::Inputs(_))));
    let unknown = Digest::of(b"unknown");
    let error = examiner.deliver(&unknown, &inputs, record_progress().1).await.unwrap_err();
    assert!(matches!(error, DeliveryError::UnknownModel(id) if id == unknown));
    examiner.follow_miners(&[cheating_miner]).await;
    assert!(matches!(deliver(&inputs).await, Err(DeliveryError::NoMiner { .. })));
}

/// Creates a market with digits-mlp, compiled for pictures that have a sixteenth of the brightness,
/// and returns the first picture with its full brightness.
fn digits_for_dim_images() -> (TestMarket, Vec<i64>) {
    let temp_dir = tempfile::tempdir().unwrap();
    let model = ShippedModel::DigitsMlp;
    let bright_images = model.sample().unwrap().inputs;
    let dim_images =
        bright_images.iter().map(|image| image.iter().map(|pixel| pixel / 16).collect());
    let options = CompileOptions {
        name: model.name().to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let sample = Sample { inputs: dim_images.collect(), ..Sample::default() };
    let compiled = compile(model.onnx(), &sample, &options).unwrap();
    CircuitDirectory::create(&temp_dir.path().join("circuits/dim"), &compiled).unwrap();
    let catalogue = Catalogue::open(&temp_dir.path().join("circuits")).unwrap();
    (TestMarket { temp_dir, catalogue, stop: Shutdown::new() }, bright_images[0].clone())
}

/// The user gets an error with the tensors; no miner receives a request, which it would refuse.
#[tokio::test(flavor = "multi_thread")]
async fn saturating_inputs_of_a_user_reach_no_miner() {
    let (market, bright_image) = digits_for_dim_images();
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    examiner.follow_miners(&[market.miner("//Bob", Behaviour::Honest).await.0]).await;
    let circuit = market.catalogue.circuits().next().unwrap().id();
    let (observed, report) = record_progress();
    let error = examiner.deliver(&circuit, &bright_image, report).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unprovable(_)), "{error}");
    let expected = "values are beyond the range of the model's sample and saturate: Relu '";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(observed.lock().unwrap().is_empty());
    assert_eq!(score_store.events(), 0);
    examiner.check_inputs(&circuit, &bright_image).unwrap();
    assert!(matches!(
        examiner.check_provable(&circuit, &bright_image),
        Err(DeliveryError::Unprovable(_))
    ));
    let black_image = vec![0; bright_image.len()];
    examiner.check_provable(&circuit, &black_image).unwrap();
    examiner.deliver(&circuit, &black_image, record_progress().1).await.unwrap().verify().unwrap();
}

/// Random inputs of the full range saturate, and miners refuse them.
#[tokio::test(flavor = "multi_thread")]
async fn random_inputs_of_benchmarks_do_not_saturate() {
    let (market, _) = digits_for_dim_images();
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let (honest, miner) = market.miner("//Bob", Behaviour::Honest).await;
    let loaded = &examiner.circuits[0];
    for _ in 0..20 {
        let query = loaded.benchmark_query().unwrap();
        loaded.outputs(&query.inputs).unwrap();
    }
    miner.answer(&loaded.benchmark_query().unwrap()).await.unwrap();
    for _ in 0..3 {
        let outcome = examiner.examine(&honest).await;
        assert!(matches!(outcome, Some(Outcome::Verified { .. })), "{outcome:?}");
    }
    assert_eq!(score_store.events(), 3);
}
