//! An interrupted benchmark stops its miner, and prints its report.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::interpret;
use crate::support::{require_sentence_model, terminate};

/// Returns the parent of a running process; `None` for a process that has ended.
fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The fields after the name of the program are the state and the parent.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z")
}

#[test]
fn interrupted_benchmark_stops_its_miner_and_prints_the_report() {
    require_sentence_model();
    let mut bench = interpret("1");
    bench.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bench = bench.spawn().unwrap();
    let mut log = BufReader::new(bench.stderr.take().unwrap());
    let mut output = String::new();
    // The miner prints its hotkey when it has loaded its models.
    while !output.contains("\nhotkey ") {
        assert_ne!(log.read_line(&mut output).unwrap(), 0, "{output}");
    }
    let processes = fs::read_dir("/proc").unwrap();
    let processes =
        processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let children: Vec<u32> =
        processes.filter(|process| parent_of(*process) == Some(bench.id())).collect();
    let [miner] = children[..] else { panic!("{children:?}") };
    terminate(&bench);
    assert_eq!(bench.wait().unwrap().code(), Some(1));
    let start = Instant::now();
    while parent_of(miner).is_some() {
        assert!(start.elapsed() < Duration::from_mins(1), "the miner still runs");
        std::thread::sleep(Duration::from_millis(50));
    }
    log.read_to_string(&mut output).unwrap();
    assert!(output.contains("the measurement was interrupted"), "{output}");
    let report: Value = serde_json::from_reader(bench.stdout.take().unwrap()).unwrap();
    let last = report["items"].as_array().unwrap().last().unwrap();
    assert_eq!(last["error"], "the recording was not played", "{report:#}");
}
