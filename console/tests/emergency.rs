//! The emergency console against a hypervisor that writes down what it was asked.

use std::cell::RefCell;
use std::fmt::Write;

use xen_console::EmergencyConsole;
use xen_hypercall::abi::Number;
use xen_hypercall::{Arg, Errno, Hypercall};

/// Xen's side of `console_io`, as public/xen.h describes it.
struct Xen {
    screen: RefCell<Vec<u8>>,
    keyboard: &'static [u8],
    answer: Result<(), isize>,
}

// SAFETY: touches the buffer that the call names, and nothing else.
unsafe impl Hypercall for Xen {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        let [command, count, buffer] = arguments[..] else { panic!("console_io takes three arguments") };
        assert_eq!(number.0, 18);
        if let Err(errno) = self.answer {
            return -errno;
        }
        match command.as_value() {
            0 => self.write(buffer.as_ptr(), count.as_value()),
            1 => self.read(buffer.as_ptr(), count.as_value()),
            _ => -38,
        }
    }
}

impl Xen {
    const fn new(answer: Result<(), isize>) -> Self {
        Self { screen: RefCell::new(Vec::new()), keyboard: b"typed", answer }
    }

    fn write(&self, buffer: *const u8, count: usize) -> isize {
        // SAFETY: the caller of the hypercall promised it.
        let bytes = unsafe { std::slice::from_raw_parts(buffer, count) };
        self.screen.borrow_mut().extend(bytes);
        0
    }

    fn read(&self, buffer: *mut u8, count: usize) -> isize {
        let count = count.min(self.keyboard.len());
        // SAFETY: the caller of the hypercall promised it.
        unsafe { buffer.copy_from(self.keyboard.as_ptr(), count) };
        count.cast_signed()
    }
}

#[test]
fn text_reaches_the_screen() {
    let xen = Xen::new(Ok(()));
    write!(EmergencyConsole::new(&xen), "panic at main.rs:{}", 3 + 4).unwrap();
    assert_eq!(xen.screen.borrow()[..], *b"panic at main.rs:7");
}

#[test]
fn keys_come_as_far_as_the_buffer_goes() {
    let xen = Xen::new(Ok(()));
    let mut keys = [0; 3];
    assert_eq!((EmergencyConsole::new(&xen).try_read(&mut keys), &keys), (Ok(3), b"typ"));
    assert_eq!(EmergencyConsole::new(&xen).try_read(&mut [0; 9]), Ok(5));
}

#[test]
fn a_refusal_is_an_error_and_not_a_panic() {
    let xen = Xen::new(Err(1));
    let mut console = EmergencyConsole::new(&xen);
    assert_eq!(console.write(b"x"), Err(Errno::PERM));
    assert_eq!(console.try_read(&mut [0]), Err(Errno::PERM));
    assert!(write!(console, "x").is_err());
}
