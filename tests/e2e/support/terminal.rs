//! Runs a program on a pseudo-terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// Timeout for output, long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A program with a pseudo-terminal as its standard streams.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    output: String,
    /// Position up to which `expect` has read.
    matched_until: usize,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        // Programs that other tests start meanwhile must not inherit the terminal: it would stay
        // open with them.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let streams = [(); 2].map(|()| Stdio::from(slave.try_clone().unwrap()));
        let [stdin, stdout] = streams;
        command.stdin(stdin).stdout(stdout).stderr(Stdio::from(slave)).env("TERM", "xterm");
        let child = command.spawn().unwrap();
        // The terminal closes with its last program, so no other handle may stay open.
        drop(command);
        Self { child, master: File::from(master), output: String::new(), matched_until: 0 }
    }

    /// Waits for a text in the output, after the previous match.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        loop {
            if let Some(offset) = self.output[self.matched_until..].find(text) {
                self.matched_until += offset + text.len();
                return;
            }
            assert!(self.read(), "the program ended without showing {text:?}: {}", self.output);
        }
    }

    /// Reads the rest of the line after the previous match.
    #[track_caller]
    pub(crate) fn read_line(&mut self) -> String {
        let start = self.matched_until;
        self.expect("\n");
        self.output[start..self.matched_until].trim_end().to_owned()
    }

    /// Types a secret once echo is off.
    #[track_caller]
    pub(crate) fn type_hidden_line(&mut self, line: &str) {
        self.type_hidden(&format!("{line}\n"));
    }

    /// Like [`Self::type_hidden_line`], for single keys.
    #[track_caller]
    pub(crate) fn type_hidden(&mut self, keys: &str) {
        let start = Instant::now();
        while tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(start.elapsed() < TIMEOUT, "the program shows what is typed: {}", self.output);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.master.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits for the exit; returns the status and the complete output. Asserts that the terminal
    /// echoes input again.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        while self.read() {}
        let final_modes = tcgetattr(&self.master).unwrap().local_modes;
        assert!(
            final_modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG),
            "{final_modes:?}: {}",
            self.output
        );
        (self.child.wait().unwrap(), std::mem::take(&mut self.output))
    }

    /// Reads more output; `false` at the end.
    #[track_caller]
    fn read(&mut self) -> bool {
        let timeout = Timespec::try_from(TIMEOUT).unwrap();
        let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&timeout)).unwrap();
        assert!(ready > 0, "the program waits for something after: {}", self.output);
        let mut bytes = [0; 4096];
        // Linux reports the end of the last program as an error.
        let count = self.master.read(&mut bytes).unwrap_or(0);
        self.output.push_str(&String::from_utf8_lossy(&bytes[..count]).replace('\r', ""));
        count > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The process can already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
