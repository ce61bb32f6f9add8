//! Nodes in child processes. A child process runs this test binary, with an environment variable
//! that names a directory.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// The limit on resident memory in bytes: far above a node's usual memory, far below the requested
/// responses.
const MAX_RESIDENT: u64 = 600 << 20;

/// A child process that is killed on drop.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
}

impl Process {
    /// Runs one test of this binary as a child process, with `variable` set to `folder`.
    pub(crate) fn start(test: &str, variable: &str, folder: &Path) -> Self {
        // A killed earlier process may have left its file.
        let _ = std::fs::remove_file(folder.join("address"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(variable, folder)
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { child, folder: folder.to_owned() }
    }

    /// Waits for the RPC address of the child's node and returns it. Panics with the child's own
    /// message if it exits before.
    pub(crate) async fn wait_for_address(&mut self) -> SocketAddr {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let address_text = std::fs::read_to_string(self.folder.join("address"));
            if let Some(address) = address_text.ok().and_then(|text| text.parse().ok()) {
                return address;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let message = std::fs::read_to_string(self.folder.join("stderr")).unwrap();
                panic!("the child exited with {status}: {message}");
            }
            assert!(Instant::now() < deadline, "the child does not start");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Awaits requests to the child's node, and panics if its resident memory exceeds the limit
    /// meanwhile.
    pub(crate) async fn with_bounded_memory<T>(&self, request: impl Future<Output = T>) -> T {
        tokio::pin!(request);
        loop {
            assert!(self.resident() < MAX_RESIDENT, "the process fills the memory");
            if let Ok(output) = timeout(Duration::from_millis(20), &mut request).await {
                return output;
            }
        }
    }

    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Kills the process like `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the node's address to the folder, in the child.
pub(crate) fn announce(folder: &Path, address: SocketAddr) {
    std::fs::write(folder.join("address.new"), address.to_string()).unwrap();
    std::fs::rename(folder.join("address.new"), folder.join("address")).unwrap();
}
