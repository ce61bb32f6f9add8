use super::*;
use crate::testing::{self, TestSetup};

const CAPABILITIES: Capabilities = Capabilities { trusted_setup: false, ..Capabilities::UNKNOWN };

/// A mock proof system whose proof is a keyed digest of the statement. It follows the protocol, but
/// proves nothing.
const HASHING_PROGRAM: &str = r#"#!/usr/bin/python3
import hashlib, json, sys
q = json.load(sys.stdin)
assert q["version"] == 1
def proof(key): return hashlib.sha256(json.dumps([key, q["binding"], q["inputs"], q["outputs"]]).encode()).hexdigest()
if q["command"] == "setup":
    key = hashlib.sha256(bytes.fromhex(q["model"])).hexdigest()
    print(json.dumps({"proving_key": key, "verification_key": key}))
elif q["command"] == "prove": print(json.dumps({"proof": proof(q["proving_key"])}))
else: print(json.dumps({"valid": q["proof"] == proof(q["verification_key"])}))
"#;

struct Program {
    _folder: tempfile::TempDir,
    external: External,
}

fn program(text: &str, timeout: Duration) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend");
    // A shell writes the file: programs that other tests start meanwhile would inherit it from this
    // process while it is open for writing, and until they close it, it cannot be run ("Text file
    // busy").
    let write = r#"printf %s "$2" > "$1" && chmod 700 "$1""#;
    let mut shell = std::process::Command::new("/bin/sh");
    assert!(shell.args(["-c", write, "sh"]).arg(&path).arg(text).status().unwrap().success());
    let external = External::new(&path, timeout, CAPABILITIES).unwrap();
    Program { _folder: folder, external }
}

#[test]
fn external_program_proves_and_verifies() {
    let program = program(HASHING_PROGRAM, Duration::from_mins(1));
    let test_setup = TestSetup::new(&program.external, &testing::network(1));
    let (statement, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
    assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
    let mut other = statement.clone();
    other.outputs[0] += 1;
    assert_eq!(test_setup.verifier.verify(&other, &proof), Err(VerifyError::Invalid));
    assert_eq!(test_setup.verifier.verify(&statement, &proof[1..]), Err(VerifyError::Invalid));
}

/// Returns a statement, and the verification key that it is bound to.
fn statement() -> (Statement, &'static [u8]) {
    let circuit = testing::network(1).lower().unwrap();
    let key = b"key";
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: taonet_primitives::Hotkey::from_bytes([1; 32]),
        circuit: Digest::of(b"c"),
        verification_key: Digest::of(key),
    };
    (Statement { binding, inputs: testing::inputs(&circuit, 1), outputs: vec![0; 4] }, key)
}

/// Runs a verification by a program.
fn verify(external: &External) -> Result<(), VerifyError> {
    let (statement, key) = statement();
    external.verifier(key).unwrap().verify(&statement, &[1])
}

#[test]
fn misbehaving_program_never_accepts() {
    let scripts = [
        "#!/bin/sh\nexit 3\n",
        "#!/bin/sh\necho '{\"valid\": true}'; exit 1\n",
        "#!/bin/sh\necho '{\"valid\": 1}'\n",
        "#!/bin/sh\necho 'yes'\n",
        "#!/bin/sh\necho '{\"valid\": true, \"more\": 1}'\n",
        "#!/bin/sh\nexec sleep 60\n",
        "#!/bin/sh\nsleep 60\n",
        "#!/bin/sh\nkill -9 $$\n",
        "#!/bin/sh\nexec cat /dev/zero\n",
        "not a program",
    ];
    for script in scripts {
        let program = program(script, Duration::from_millis(300));
        let result = verify(&program.external);
        assert!(matches!(&result, Err(error) if error.is_local()), "{script}: {result:?}");
    }
    assert!(External::new(Path::new("relative"), Duration::from_secs(1), CAPABILITIES).is_err());
}

/// Returns whether a process exists that is not a zombie.
#[cfg(target_os = "linux")]
fn is_running(process: &str) -> bool {
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// A process that the program starts ends with it: at the timeout, and after the answer.
#[cfg(target_os = "linux")]
#[test]
fn child_processes_end_with_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let id = folder.path().join("id");
    let scripts = [
        (format!("#!/bin/sh\nsleep 600 &\necho $! >{}\nwait\n", id.display()), false),
        (
            format!(
                "#!/bin/sh\nsleep 600 >/dev/null &\necho $! >{}\necho '{{\"valid\": true}}'\n",
                id.display()
            ),
            true,
        ),
    ];
    for (script, answers) in scripts {
        let program = program(&script, Duration::from_secs(10));
        let result = verify(&program.external);
        assert_eq!(result.is_ok(), answers, "{script}: {result:?}");
        let process = std::fs::read_to_string(&id).unwrap().trim().to_owned();
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while is_running(&process) {
            assert!(
                std::time::Instant::now() < deadline,
                "{script}: process {process} is still running"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn external_verifier_above_its_memory_limit_fails() {
    let script = "#!/usr/bin/python3\nimport sys\nsys.stdin.read()\nblock = bytearray(512 << 20)\nprint('{\"valid\": true}')\n";
    let program = program(script, Duration::from_mins(1));
    assert_eq!(verify(&program.external.clone().with_memory(1 << 30)), Ok(()));
    let result = verify(&program.external.with_memory(256 << 20));
    assert!(matches!(&result, Err(error) if error.is_local()), "{result:?}");
}
