//! Reads a line from the terminal without echo. The line is kept only in zeroized buffers of this
//! module, never in those of the standard library.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

/// Maximum length of a terminal line, in bytes.
const MAX_BYTES: usize = 4096;

/// Reads a line from standard input if it is a terminal, else from the controlling terminal.
///
/// # Errors
/// [`ErrorKind::Interrupted`] for Ctrl-C, [`ErrorKind::UnexpectedEof`] for Ctrl-D on an empty line,
/// and I/O errors of the terminal.
pub(super) fn read() -> io::Result<Zeroizing<String>> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return read_line(stdin.as_fd());
    }
    read_line(File::open("/dev/tty")?.as_fd())
}

/// A terminal in raw mode without echo; restored on drop.
struct NoEchoTerminal<'a> {
    terminal: BorrowedFd<'a>,
    original_modes: Termios,
}

impl<'a> NoEchoTerminal<'a> {
    fn new(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let original_modes = tcgetattr(terminal)?;
        let mut modes = original_modes.clone();
        modes
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        // A read blocks until one byte is available.
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &modes)?;
        Ok(Self { terminal, original_modes })
    }

    fn read_byte(&self) -> io::Result<u8> {
        let mut typed = Zeroizing::new([0]);
        // One byte at a time: input after the line belongs to the next prompt.
        if rustix::io::retry_on_intr(|| rustix::io::read(self.terminal, typed.as_mut_slice()))? == 0
        {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let [byte] = *typed;
        Ok(byte)
    }
}

impl Drop for NoEchoTerminal<'_> {
    fn drop(&mut self) {
        // A closed terminal needs no restore.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.original_modes);
    }
}

fn read_line(terminal: BorrowedFd<'_>) -> io::Result<Zeroizing<String>> {
    let no_echo = NoEchoTerminal::new(terminal)?;
    let control_characters = &no_echo.original_modes.special_codes;
    // Full capacity at once: a growing buffer would leave copies behind.
    let mut typed = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
    loop {
        match no_echo.read_byte()? {
            b'\n' | b'\r' => break,
            // Value of disabled control characters.
            0 => {}
            key if [SpecialCodeIndex::VINTR, SpecialCodeIndex::VQUIT]
                .iter()
                .any(|code| key == control_characters[*code]) =>
            {
                return Err(ErrorKind::Interrupted.into());
            }
            key if key == control_characters[SpecialCodeIndex::VEOF] && typed.is_empty() => {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            key if key == control_characters[SpecialCodeIndex::VERASE] => erase(&mut typed),
            key if key == control_characters[SpecialCodeIndex::VKILL] => typed.clear(),
            _ if typed.len() == MAX_BYTES => return Err(ErrorKind::FileTooLarge.into()),
            byte => typed.push(byte),
        }
    }
    let text = str::from_utf8(&typed).map_err(|_| ErrorKind::InvalidData)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Removes the last character, with all its bytes.
fn erase(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}
