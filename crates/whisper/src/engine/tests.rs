use std::sync::atomic::{AtomicBool, Ordering};

use taonet_speech::models::{ModelMemory, ModelSpec};

use super::*;
use crate::model::Fault;
use crate::testing::{model, noise, open};

fn size(threads: usize, windows: usize) -> EngineSize {
    EngineSize {
        threads: NonZeroUsize::new(threads).unwrap(),
        windows: NonZeroUsize::new(windows).unwrap(),
    }
}

/// Options under which a recording of any length takes few steps.
fn few_step_options() -> Arc<Options> {
    Arc::new(Options { temperatures: vec![0.0], max_new_tokens: Some(8), ..Options::default() })
}

/// Transcribes recordings of these lengths concurrently.
fn transcribe_all(engine: &Engine, lengths: &[usize]) -> Vec<TranscribeResult> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = lengths
            .iter()
            .map(|&length| {
                scope.spawn(move || engine.transcribe(noise(length), few_step_options()))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

fn engine_with_fault(fault: Fault, size: EngineSize) -> Engine {
    let mut model = open();
    model.fault = Some(fault);
    Engine::start(&Arc::new(model), size).unwrap()
}

/// Transcribes a recording of this length by an engine without a fault.
fn expected(length: usize) -> Transcription {
    Engine::start(&model(), size(1, 1))
        .unwrap()
        .transcribe(noise(length), few_step_options())
        .unwrap()
}

#[test]
fn panic_fails_only_the_recording_that_causes_it() {
    const POISON: usize = 17_000;
    let fault: Fault = Box::new(|lengths| {
        assert!(!lengths.contains(&POISON), "poison");
        Ok(())
    });
    let engine = engine_with_fault(fault, size(1, 4));
    let lengths = [16_000, POISON, 30_000, 45_000, POISON, 16_500];
    // Later recordings are transcribed too: the worker survives.
    for _ in 0..2 {
        for (result, length) in transcribe_all(&engine, &lengths).into_iter().zip(lengths) {
            if length == POISON {
                assert_eq!(result.unwrap_err().to_string(), "decoding panicked: poison");
            } else {
                assert_eq!(result.unwrap(), expected(length), "{length}");
            }
        }
    }
}

#[test]
fn recordings_of_a_failed_batch_are_decoded_separately() {
    let has_failed = Arc::new(AtomicBool::new(false));
    let failure_flag = has_failed.clone();
    let fault: Fault = Box::new(move |lengths| {
        if lengths.len() < 2 {
            return Ok(());
        }
        failure_flag.store(true, Ordering::Relaxed);
        Err(TranscribeError::Product("a batch".to_owned()))
    });
    let engine = engine_with_fault(fault, size(1, 3));
    let lengths = [16_000, 30_000, 45_000, 20_000];
    // The threads of the callers decide which recordings share a batch.
    for _ in 0..10 {
        for (result, length) in transcribe_all(&engine, &lengths).into_iter().zip(lengths) {
            assert_eq!(result.unwrap(), expected(length), "{length}");
        }
        if has_failed.load(Ordering::Relaxed) {
            return;
        }
    }
    panic!("no batch has two recordings");
}

#[test]
fn windows_share_buffers_until_the_worker_is_idle() {
    let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity: 1 });
    let mut worker = Worker::new(model(), WorkerRegistration::new(shared.clone()), 1);
    let (result_sender, results) = sync_channel(1);
    // At least three windows.
    let job = Job {
        samples: noise(90 * 16_000),
        options: few_step_options(),
        request: JobRequest::Transcribe(result_sender),
    };
    worker.admit(&Arc::new(job));
    while !worker.active.is_empty() {
        worker.step().unwrap();
    }
    assert!(results.try_recv().unwrap().is_ok());
    assert_eq!(worker.buffers.memories.len(), 1);
    assert!(!worker.buffers.encoded.is_empty() && !worker.buffers.logits.is_empty());

    shared.lock().is_closed = true;
    assert!(worker.next_job().is_none());
    assert!(worker.buffers.memories.is_empty() && worker.buffers.encoded.is_empty());
}

/// Returns a pass over noise of this length.
fn run_pass(engine: &Engine, length: usize) -> Result<Continuation, TranscribeError> {
    let options = Options { language: Some("en".to_owned()), ..(*few_step_options()).clone() };
    let prefix = Prefix { frame_threshold: 25, padding: Some(1.0), ..Prefix::default() };
    engine.continue_text(noise(length), Arc::new(options), prefix)
}

#[test]
fn concurrent_passes_and_transcriptions_do_not_affect_each_other() {
    let engine = Engine::start(&model(), size(1, 2)).unwrap();
    let expected_pass = run_pass(&engine, 20_000).unwrap();
    let lengths = [16_000, 30_000, 45_000, 20_000, 60_000];
    std::thread::scope(|scope| {
        let passes: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    (0..8).map(|_| run_pass(&engine, 20_000).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        for (result, length) in transcribe_all(&engine, &lengths).into_iter().zip(lengths) {
            assert_eq!(result.unwrap(), expected(length), "{length}");
        }
        for actual in passes.into_iter().flat_map(|call| call.join().unwrap()) {
            assert_eq!(actual, expected_pass);
        }
    });
}

#[test]
fn pass_precedes_queued_transcriptions_when_all_windows_are_active() {
    let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity: 1 });
    let mut worker = Worker::new(model(), WorkerRegistration::new(shared.clone()), 1);
    let submit = |is_pass: bool| {
        let (result_sender, _) = sync_channel(1);
        let (continuation, _) = sync_channel(1);
        let request = if is_pass {
            JobRequest::Continue(Prefix::default(), continuation)
        } else {
            JobRequest::Transcribe(result_sender)
        };
        shared.lock().jobs.push_back(Arc::new(Job {
            samples: noise(16_000),
            options: few_step_options(),
            request,
        }));
    };
    for is_pass in [false, false, true] {
        submit(is_pass);
    }
    let pass_kinds = [false, true];
    for is_pass in pass_kinds {
        let job = worker.next_job().unwrap();
        assert_eq!(job.request.is_pass(), is_pass);
        worker.admit(&job);
        assert_eq!(worker.last_job_is_pass, is_pass);
    }
    // The other transcription waits for the window.
    assert!(worker.next_job().is_none());
    while !worker.active.is_empty() {
        worker.step().unwrap();
    }
    assert!(!worker.next_job().unwrap().request.is_pass());
}

#[test]
fn panic_in_a_pass_ends_only_this_pass() {
    const POISON: usize = 17_000;
    let fault: Fault = Box::new(|lengths| {
        assert!(!lengths.contains(&POISON), "poison");
        Ok(())
    });
    let engine = engine_with_fault(fault, size(1, 2));
    std::thread::scope(|scope| {
        let poison = scope.spawn(|| (0..3).map(|_| run_pass(&engine, POISON)).collect::<Vec<_>>());
        for (result, length) in transcribe_all(&engine, &[16_000, 30_000, 45_000])
            .into_iter()
            .zip([16_000, 30_000, 45_000])
        {
            assert_eq!(result.unwrap(), expected(length), "{length}");
        }
        for result in poison.join().unwrap() {
            assert_eq!(result.unwrap_err().to_string(), "decoding panicked: poison");
        }
    });
    run_pass(&engine, 20_000).unwrap();
}

#[test]
fn stopped_engine_refuses_passes() {
    let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity: 1 });
    let engine = Engine { shared: shared.clone(), threads: Vec::new() };
    assert!(matches!(run_pass(&engine, 16_000), Err(TranscribeError::Stopped)));
    // The last worker exits while a pass waits in the queue.
    let registration = WorkerRegistration::new(shared.clone());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run_pass(&engine, 16_000));
        while shared.lock().jobs.is_empty() {
            std::thread::yield_now();
        }
        drop(registration);
        assert!(matches!(waiting.join().unwrap(), Err(TranscribeError::Stopped)));
    });
}

#[test]
fn buffers_are_kept_between_passes() {
    let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity: 2 });
    let mut worker = Worker::new(model(), WorkerRegistration::new(shared.clone()), 1);
    let submit = || {
        let (result_sender, _) = sync_channel(1);
        let request = JobRequest::Continue(Prefix::default(), result_sender);
        shared.lock().jobs.push_back(Arc::new(Job {
            samples: noise(16_000),
            options: few_step_options(),
            request,
        }));
        shared.changed.notify_all();
    };
    submit();
    let job = worker.next_job().unwrap();
    worker.admit(&job);
    std::thread::scope(|scope| {
        // The worker waits for the next pass.
        scope.spawn(submit);
        assert!(worker.next_job().is_some());
    });
    assert!(!worker.buffers.memories.is_empty());
    shared.lock().is_closed = true;
    assert!(worker.next_job().is_none());
    assert!(worker.buffers.memories.is_empty());
}

const TINY: Dimensions = Dimensions { layers: 4, width: 384, tokens: 51_865 };
const SMALL: Dimensions = Dimensions { layers: 12, width: 768, tokens: 51_865 };
const MEDIUM: Dimensions = Dimensions { layers: 24, width: 1_024, tokens: 51_865 };
const LARGE: Dimensions = Dimensions { layers: 32, width: 1_280, tokens: 51_866 };
const TURBO: Dimensions = Dimensions { layers: 4, ..LARGE };

#[test]
fn threads_and_windows_fit_the_available_memory() {
    // Model, threads, available memory in GiB, resulting threads and windows.
    for (model, threads, available, expected) in [
        (SMALL, 2, None, (2, 5)),
        (SMALL, 16, None, (16, 5)),
        (TINY, 2, Some(4), (2, 12)),
        (SMALL, 2, Some(4), (2, 5)),
        (SMALL, 4, Some(8), (4, 5)),
        (SMALL, 8, Some(16), (8, 5)),
        (SMALL, 16, Some(64), (16, 5)),
        (SMALL, 16, Some(8), (16, 2)),
        (SMALL, 16, Some(2), (7, 1)),
        (SMALL, 16, Some(0), (1, 1)),
        (MEDIUM, 2, Some(4), (2, 2)),
        (TURBO, 2, Some(4), (2, 9)),
        (LARGE, 16, Some(64), (16, 2)),
        (LARGE, 16, Some(4), (4, 1)),
        (LARGE, 2, Some(1), (1, 1)),
    ] {
        let available = available.map(|gibibytes| gibibytes << 30);
        let actual = EngineSize::fit(model, NonZeroUsize::new(threads).unwrap(), available);
        assert_eq!(actual, size(expected.0, expected.1), "{model:?} {threads} {available:?}");
    }
}

#[test]
fn memory_in_the_catalogue_matches_the_dimensions() {
    let megabytes = |bytes: u64| u32::try_from((bytes + 500_000) / 1_000_000).unwrap();
    for (name, dimensions) in [
        ("tiny", TINY),
        ("base", Dimensions { layers: 6, width: 512, tokens: 51_865 }),
        ("small", SMALL),
        ("medium", MEDIUM),
        ("large-v3", LARGE),
        ("large-v3-turbo", TURBO),
        ("large-v3-turbo-int8", TURBO),
        ("distil-large-v3", Dimensions { layers: 2, ..LARGE }),
    ] {
        let spec = ModelSpec::find(&format!("faster-whisper-{name}")).unwrap();
        // The weights are f16 in the files, and int8 in memory.
        let weights = spec.files.iter().find(|file| file.name == "model.bin").unwrap().bytes / 2;
        let size = EngineSize::fit(dimensions, NonZeroUsize::MIN, None);
        let windows = (size.windows.get() * dimensions.window_bytes()) as u64;
        let worker = dimensions.worker_bytes() as u64;
        let model = dimensions.min_bytes(weights) - dimensions.window_bytes() as u64 - worker;
        let expected = ModelMemory { model: megabytes(model), thread: megabytes(windows + worker) };
        assert_eq!(spec.memory, Some(expected), "{name}");
    }
}
