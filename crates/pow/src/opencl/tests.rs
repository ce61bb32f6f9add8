//! Tests on a real OpenCL device: PoCL runs the kernels on the processor.

use super::*;

#[test]
fn batch_size_adapts_to_elapsed_time() {
    let millis = Duration::from_millis;
    for (batch, elapsed, expected) in [
        (MIN_BATCH, millis(1), MIN_BATCH * 2),
        (MIN_BATCH, millis(100), MIN_BATCH),
        (MIN_BATCH, millis(1_000), MIN_BATCH),
        (1 << 20, millis(49), 1 << 21),
        (1 << 20, millis(150), 1 << 20),
        (1 << 20, millis(201), 1 << 19),
        (MAX_BATCH, millis(1), MAX_BATCH),
    ] {
        assert_eq!(next_batch_size(batch, elapsed), expected, "{batch} {elapsed:?}");
    }
}

#[test]
fn error_about_missing_device_lists_the_devices() {
    let error = |devices: &[&str]| {
        let devices = devices.iter().map(|name| (*name).to_owned()).collect();
        PowError::NoDevice { index: 7, devices }.to_string()
    };
    let expected = "there is no OpenCL device 7\nhint: the devices are opencl:0 (A), opencl:1 (B)";
    assert_eq!(error(&["A", "B"]), expected);
}

/// The tests run in child processes, because the environment selects the OpenCL library.
#[cfg(target_os = "linux")]
mod devices {
    use std::path::Path;
    use std::process::Command;

    use taonet_testing::skip;

    use super::super::*;
    use crate::work::tests::{MINED, MINED_IN, ONE, bytes, far_deadline, recorded};
    use crate::{Device, Searcher};

    /// Variable that marks a child process.
    const CHILD: &str = "TAONET_POW_TEST";

    /// Finds the driver PoCL as Debian packages it. If it is missing, the test is skipped with a
    /// message, or fails if `CI` is set. Debian's build compiles for a fixed target of each
    /// instruction set, so it also works on processors that are newer than its LLVM; builds that
    /// ask LLVM for the processor's name do not.
    fn driver() -> Option<&'static Path> {
        let driver = Path::new("/etc/OpenCL/vendors/pocl.icd");
        if driver.exists() {
            return Some(driver);
        }
        skip("SKIPPED: tests on an OpenCL device: PoCL is not installed. Install pocl-opencl-icd");
        None
    }

    /// Runs a test of this module in a child process, for which `library` prepares a directory and
    /// the environment.
    fn in_child(
        test: &str,
        body: impl FnOnce(),
        library: impl FnOnce(&Path, &mut Command) -> bool,
    ) {
        if std::env::var_os(CHILD).is_some() {
            return body();
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        command
            .args(["--exact", &name, "--nocapture"])
            .env(CHILD, "1")
            .env("LD_LIBRARY_PATH", folder.path());
        if !library(folder.path(), &mut command) {
            return;
        }
        let output = command.output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stdout.contains("1 passed"), "{test}: {stdout}{stderr}");
    }

    /// Runs a test with PoCL as the only driver.
    fn on_pocl(test: &str, body: impl FnOnce()) {
        in_child(test, body, |folder, command| {
            let Some(driver) = driver() else { return false };
            command.env("OCL_ICD_VENDORS", driver).env("POCL_CACHE_DIR", folder.join("cache"));
            true
        });
    }

    const LIBRARY: &str = "libOpenCL.so.1";

    #[test]
    fn recorded_nonces_are_found() {
        on_pocl("recorded_nonces_are_found", || {
            let mut searcher = Searcher::open(Device::OpenCl(0), ONE).unwrap();
            assert!(searcher.name().contains("pthread"), "{}", searcher.name());
            for (difficulty, nonce, seal) in MINED {
                let (work, hash_count) = (recorded(1, MINED_IN, difficulty), AtomicU64::new(0));
                let actual = searcher.search(&work, 0, far_deadline(), &hash_count).unwrap();
                assert_eq!(actual, Some(Solution { nonce, seal: bytes(seal) }), "{difficulty}");
                assert_eq!(hash_count.into_inner(), u64::from(MIN_BATCH), "{difficulty}");
            }
        });
    }

    #[test]
    fn opencl_and_cpu_find_the_same_solutions() {
        on_pocl("opencl_and_cpu_find_the_same_solutions", || {
            let mut devices =
                [Device::Cpu, Device::OpenCl(0)].map(|device| Searcher::open(device, ONE).unwrap());
            // Ranges with changes in every byte of the nonce, and one beyond the largest nonce. The
            // highest difficulty takes several batches.
            for (first, difficulty, solutions) in [
                (0, 300, 40),
                (0x0000_00FF_FFFF_FC00, 300, 20),
                (0x7FFF_FFFF_FFFF_0000, 10_000, 10),
                (u64::MAX - 2_000, 300, 20),
                (123_456_789_012, 200_000, 3),
            ] {
                let work = recorded(59, &"07".repeat(32), difficulty);
                let [expected, actual] = devices.each_mut().map(|searcher| {
                    let mut start = first;
                    let solutions = (0..solutions).map(|_| {
                        let solution = searcher
                            .search(&work, start, far_deadline(), &AtomicU64::new(0))
                            .unwrap()
                            .unwrap();
                        start = solution.nonce.wrapping_add(1);
                        solution
                    });
                    solutions.collect::<Vec<_>>()
                });
                assert_eq!(actual, expected, "{first} {difficulty}");
            }
        });
    }

    #[test]
    fn search_ends_at_the_deadline() {
        on_pocl("search_ends_at_the_deadline", || {
            let mut device = OpenCl::open(0).unwrap();
            let (work, hash_count) = (recorded(59, &"01".repeat(32), u64::MAX), AtomicU64::new(0));
            let start = Instant::now();
            let actual =
                device.search(&work, 0, start + Duration::from_millis(300), &hash_count).unwrap();
            assert_eq!(actual, None);
            assert!(
                (Duration::from_millis(300)..Duration::from_mins(2)).contains(&start.elapsed())
            );
            assert!(hash_count.into_inner() >= u64::from(MIN_BATCH));
            let solution = device.search(&work, 0, Instant::now(), &AtomicU64::new(0)).unwrap();
            assert_eq!(solution, None);
        });
    }

    #[test]
    fn missing_or_faulty_devices_are_errors() {
        on_pocl("missing_or_faulty_devices_are_errors", || {
            let error = OpenCl::open(9).unwrap_err();
            assert!(
                matches!(&error, PowError::NoDevice { index: 9, devices } if devices.len() == 1),
                "{error}"
            );
            let error =
                OpenCl::with_source(0, &KERNEL_SOURCE.replace("131 * 8", "nonsense")).unwrap_err();
            assert!(
                matches!(&error, PowError::Compile { log, .. } if log.contains("nonsense")),
                "{error}"
            );
            let error =
                OpenCl::with_source(0, &KERNEL_SOURCE.replace("131 * 8", "131")).unwrap_err();
            assert!(matches!(&error, PowError::WrongHashes { .. }), "{error}");
            let error = OpenCl::with_source(0, &KERNEL_SOURCE.replace("void search", "void other"))
                .unwrap_err();
            assert!(matches!(&error, PowError::Call { function: "clCreateKernel", .. }), "{error}");
        });
    }

    #[test]
    fn invalid_nonce_from_device_is_an_error() {
        on_pocl("invalid_nonce_from_device_is_an_error", || {
            // Correct up to the difficulty of the self-test.
            let weakened_kernel = KERNEL_SOURCE.replace(
                "ulong carry = 0;",
                "ulong carry = 0; difficulty = min(difficulty, (ulong)1000);",
            );
            let mut device = OpenCl::with_source(0, &weakened_kernel).unwrap();
            let work = recorded(59, &"01".repeat(32), u64::MAX);
            let error = device.search(&work, 0, far_deadline(), &AtomicU64::new(0)).unwrap_err();
            assert!(matches!(error, PowError::WrongHashes { .. }), "{error}");
        });
    }

    #[test]
    fn loader_without_drivers_has_no_devices() {
        let body = || {
            let error = OpenCl::open(0).unwrap_err();
            assert!(matches!(error, PowError::NoDevices), "{error}");
            assert!(error.to_string().contains("hint: install the OpenCL driver"), "{error}");
        };
        in_child("loader_without_drivers_has_no_devices", body, |folder, command| {
            if driver().is_none() {
                return false;
            }
            command.env("OCL_ICD_VENDORS", folder);
            true
        });
    }

    #[test]
    fn unloadable_library_is_an_error() {
        let body = || {
            let error = Searcher::open(Device::OpenCl(0), ONE).unwrap_err();
            assert!(matches!(error, PowError::Library { library: LIBRARY, .. }), "{error}");
            assert!(error.to_string().contains("hint: install the driver"), "{error}");
        };
        in_child("unloadable_library_is_an_error", body, |folder, _| {
            std::fs::write(folder.join(LIBRARY), "no library").unwrap();
            true
        });
    }
}
