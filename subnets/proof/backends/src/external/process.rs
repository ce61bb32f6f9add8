use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Maximum size of an answer, in bytes.
const MAX_ANSWER: u64 = 1 << 30;

/// Runs a program with a document on standard input and returns its standard output. The program is killed at the
/// timeout.
pub(super) fn run(program: &Path, question: Vec<u8>, timeout: Duration) -> io::Result<Vec<u8>> {
    let mut child = Command::new(program)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let Some((mut stdin, stdout)) = pipes else { return Err(end(&mut child, "no pipes")) };
    let (answered, answer) = mpsc::channel();
    // Both threads end when the pipes close, at the latest when the program is killed.
    thread::spawn(move || {
        // A program may answer without reading all of its input.
        let _ = stdin.write_all(&question);
    });
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(MAX_ANSWER + 1).read_to_end(&mut bytes).map(|_| bytes);
        let _ = answered.send(read);
    });
    let Ok(read) = answer.recv_timeout(timeout) else {
        return Err(end(&mut child, "the program sent no answer before the timeout"));
    };
    let bytes = match read {
        Ok(bytes) if bytes.len() as u64 <= MAX_ANSWER => bytes,
        Ok(_) => return Err(end(&mut child, "the answer is too long")),
        Err(error) => return Err(end(&mut child, &error.to_string())),
    };
    // A program has no work left once it has closed its output.
    let deadline = std::time::Instant::now() + Duration::from_secs(1).min(timeout);
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(bytes),
            Some(status) => return Err(io::Error::other(format!("the program ended with {status}"))),
            None if std::time::Instant::now() >= deadline => return Err(end(&mut child, "the program did not exit")),
            None => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn end(child: &mut Child, reason: &str) -> io::Error {
    // The program may have exited already.
    let _ = child.kill();
    let _ = child.wait();
    io::Error::other(reason.to_owned())
}
